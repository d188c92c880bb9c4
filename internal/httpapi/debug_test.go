package httpapi

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/endpoint"
)

func TestProfiles(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{
		"/debug/pprof/goroutine?debug=1": "goroutine profile: ", "/debug/pprof/symbol": "num_symbols: 1",
		"/debug/pprof/trace?seconds=0.01": "",
	} {
		rec := w.call("GET", path, "", asManagement)
		if rec.Code != 200 || !strings.HasPrefix(rec.Body.String(), want) {
			t.Errorf("%s: %d %.60q", path, rec.Code, rec.Body)
		}
	}
	for name, path := range map[string]string{"a profile that there is not": "bogus", "arguments, which may be secrets": "cmdline"} {
		if rec := w.call("GET", "/debug/pprof/"+path, "", asManagement); rec.Code != 404 {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
}

func TestProfilesWithoutACLs(t *testing.T) {
	off := func(a *API) { a.Resolver.(*endpoint.Resolver).Enabled = false }
	if rec := newWorld(t, off).call("GET", "/debug/pprof/heap", ""); rec.Code != 404 || !strings.Contains(rec.Body.String(), "enable_debug") {
		t.Errorf("without enable_debug: %d %s", rec.Code, rec.Body)
	}
	if rec := newWorld(t, off, func(a *API) { a.Debug = true }).call("GET", "/debug/pprof/heap", ""); rec.Code != 200 {
		t.Errorf("with enable_debug: %d %s", rec.Code, rec.Body)
	}
}
