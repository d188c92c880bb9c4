package leader

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/tenancy"
)

func entryOf(t *testing.T, text string) configentry.Entry {
	t.Helper()
	e, err := configentry.DecodeJSON([]byte(text))
	if err == nil {
		e.Scope = tenancy.Default
		err = e.Settle()
	}
	if err != nil {
		t.Fatal(err)
	}
	return *e
}

// A leader makes the configured entries that are missing, in an order in which they can be made, and
// leaves the others as they are. One that cannot be made does not stop it.
func TestConfiguredEntriesAreMadeWhereTheyAreMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.ACLs = false
		s.Entries = []configentry.Entry{
			entryOf(t, `{"Kind":"service-defaults","Name":"web","MutualTLSMode":"permissive"}`),
			entryOf(t, `{"Kind":"service-defaults","Name":"kept","Protocol":"http"}`),
			entryOf(t, `{"Kind":"mesh","AllowEnablingPermissiveMutualTLS":true}`),
			{Kind: configentry.KindServiceDefaults, Name: "lost", Scope: tenancy.Scope{Partition: "default", Namespace: "nowhere"}},
		}
		if _, err := s.raft.Propose(t.Context(), fsm.ConfigEntrySet{Entry: entryOf(t, `{"Kind":"service-defaults","Name":"kept","Protocol":"grpc"}`)}); err != nil {
			t.Fatal(err)
		}
		s.run()
		s.raft.leads <- true // for another term
		synctest.Wait()
		defer s.stop()
		all, err := s.state.Read().ConfigEntries(nil, configentry.KindServiceDefaults, tenancy.Default)
		if err != nil || len(all) != 2 || all[0].ServiceDefaults.Protocol != "grpc" || all[1].Name != "web" {
			t.Errorf("got %+v, %v", all, err)
		}
		if text := s.take(); !strings.Contains(text, "a configured config entry could not be made") || !strings.Contains(text, "name=lost") {
			t.Errorf("logged %s", text)
		}
	})
}
