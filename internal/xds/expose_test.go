package xds

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/proxycfg"
)

func exposes(paths ...catalog.ExposePath) func(*proxycfg.Snapshot) {
	return func(s *proxycfg.Snapshot) { s.Proxy.Proxy.Expose.Paths = paths }
}

func TestPathsThatCannotBeExposedAreLeftOut(t *testing.T) {
	good := catalog.ExposePath{Path: "/health", LocalPathPort: 8080, ListenerPort: 21500}
	for _, c := range []struct {
		name string
		path catalog.ExposePath
	}{
		{"the public listener's port", catalog.ExposePath{Path: "/x", LocalPathPort: 8080, ListenerPort: 21000}},
		{"no port", catalog.ExposePath{Path: "/x", LocalPathPort: 8080}},
		{"a port that is none", catalog.ExposePath{Path: "/x", LocalPathPort: 8080, ListenerPort: 70000}},
		{"no path", catalog.ExposePath{LocalPathPort: 8080, ListenerPort: 21501}},
		{"half a path", catalog.ExposePath{Path: "x", LocalPathPort: 8080, ListenerPort: 21501}},
		{"no local port", catalog.ExposePath{Path: "/x", ListenerPort: 21501}},
	} {
		got, err := Build(shop(allowed, exposes(good, c.path)), Version{})
		if err == nil || !strings.Contains(err.Error(), "exposed paths on port") {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(got[Listener]) != 2 || got[Listener]["exposed_paths:0.0.0.0:21500"].Body == nil {
			t.Errorf("%s: %d listeners", c.name, len(got[Listener]))
		}
	}
}

// What is exposed is exactly the paths that were asked for: nothing else of the service is reached without mutual TLS.
func TestAttack_OnlyExposedPathsPassWithoutMutualTLS(t *testing.T) {
	got, err := Build(shop(exposes(catalog.ExposePath{Path: "/health", LocalPathPort: 8080, ListenerPort: 21500})), Version{})
	if err != nil {
		t.Fatal(err)
	}
	text := string(readable(t, got))
	if strings.Count(text, `"path": "/health"`) != 1 || strings.Contains(text, `"prefix"`) {
		t.Errorf("routes: %s", text)
	}
	plain := 0
	for name, l := range got[Listener] {
		body := string(readable(t, Resources{Listener: {name: l}}))
		if !strings.Contains(body, "require_client_certificate") {
			plain++
			if !strings.HasPrefix(name, "exposed_paths:") {
				t.Errorf("%s has no mutual TLS", name)
			}
		}
	}
	if plain != 1 {
		t.Errorf("%d listeners without mutual TLS", plain)
	}
}
