package local

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/tenancy"
)

func TestTheLogSaysWhatTheCatalogWasTold(t *testing.T) {
	w := newWorld(t)
	must(t, w.step(t.Context(), true))
	w.add(`{"Name":"web"}`, webSecret)
	must(t, w.step(t.Context(), false))
	w.add(`{"Name":"web","Check":{"TTL":"1h"}}`, webSecret)
	must(t, w.step(t.Context(), false))
	must(t, w.DeregisterCheck(anyone, tenancy.Default, "service:web"))
	must(t, w.step(t.Context(), false))
	must(t, w.Deregister(anyone, tenancy.Default, "web"))
	must(t, w.step(t.Context(), false))
	for _, want := range []string{
		`msg="Synced node info"` + "\n",
		`msg="Synced service" service=web` + "\n",
		`msg="Synced check" check=service:web` + "\n",
		`msg="Deregistered check" check=service:web` + "\n",
		`msg="Deregistered service" service=web` + "\n",
	} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("not in the log: %s", want)
		}
	}
	if t.Failed() {
		t.Log(w.log)
	}
}

func TestTheLogSaysWhatACLsBlock(t *testing.T) {
	for _, c := range []struct{ refusal, accessor string }{
		{`Permission denied: token with AccessorID 'b1a5f9e0-3c68-4c4e-8d51-6e0b9a7f2d33' lacks permission 'service:write' on "web"`, "b1a5f9e0-3c68-4c4e-8d51-6e0b9a7f2d33"},
		{`Permission denied: anonymous token lacks permission 'service:write' on "web". The anonymous token is used implicitly when a request does not specify a token.`, `"anonymous token"`},
		{"ACL not found", "unknown"},
	} {
		w := newWorld(t)
		w.catalog.change(func() {
			w.catalog.refuse[webSecret.Reveal()] = c.refusal
			w.catalog.refuse[agentSecret.Reveal()] = c.refusal
		})
		w.add(`{"Name":"web"}`, webSecret)
		must(t, w.step(t.Context(), true))
		for _, want := range []string{
			`level=WARN msg="Node info update blocked by ACLs" node=` + w.cfg.Node().ID + ` accessorID=` + c.accessor,
			`level=WARN msg="Service registration blocked by ACLs" service=web accessorID=` + c.accessor,
		} {
			if !strings.Contains(w.log.String(), want) {
				t.Errorf("not in the log: %s\n%s", want, w.log)
			}
		}
	}
}
