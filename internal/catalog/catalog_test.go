package catalog

import (
	"maps"
	"testing"
)

func TestWhatAnInstanceCountsAs(t *testing.T) {
	tests := []struct {
		name     string
		service  Service
		connects string // the service that it takes mesh traffic for
		connect  map[string]int
		billable int
	}{
		{"an application", Service{Service: "web"}, "", nil, 1},
		{"a native application", Service{Service: "web", Connect: Connect{Native: true}}, "web", map[string]int{"connect-native": 1}, 1},
		{"a sidecar", Service{Service: "web-proxy", Kind: KindConnectProxy, Proxy: Proxy{DestinationServiceName: "web"}}, "web",
			map[string]int{"connect-proxy": 1}, 0},
		{"a destination of no proxy", Service{Service: "web", Proxy: Proxy{DestinationServiceName: "api"}}, "", nil, 1},
		{"a gateway", Service{Service: "gw", Kind: KindMeshGateway}, "", map[string]int{"mesh-gateway": 1}, 0},
		{"a server", Service{Service: "consul"}, "", nil, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.service.ConnectName(); got != tc.connects {
				t.Errorf("it takes traffic for %q, want %q", got, tc.connects)
			}
			var u Usage
			u.Count(&tc.service, 1)
			if !maps.Equal(u.Connect, tc.connect) || u.Billable != tc.billable || u.Instances != 1 || u.IsZero() {
				t.Errorf("got %+v", u)
			}
			older := u
			u.Count(&tc.service, -1)
			if len(u.Connect) > 0 || !u.IsZero() || !maps.Equal(older.Connect, tc.connect) {
				t.Errorf("taken back: %+v, what was: %+v", u, older)
			}
		})
	}
}
