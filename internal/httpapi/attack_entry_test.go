package httpapi

import (
	"bytes"
	"compress/gzip"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whatever a config entry says, it is refused, or everybody who reads what follows from it has an answer.
func TestCVE_2020_12758_OddEntriesAreRefusedOrServed(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 5000)
	stored := 0
	for _, body := range []string{
		`null`, `[]`, `"mesh"`, `{"Kind":null,"Name":null}`, `{"Kind":{"Kind":"mesh"}}`, `{"Kind":"service-defaults"}`,
		`{"Kind":"service-defaults","Name":""}`, `{"Kind":"service-defaults","Name":"*"}`, `{"Kind":"service-defaults","Name":"` + long + `"}`,
		`{"Kind":"service-defaults","Name":"../../acl"}`, `{"Kind":"service-defaults","Name":"web","Protocol":"` + long + `"}`,
		`{"Kind":"service-defaults","Name":"web","UpstreamConfig":{"Overrides":[{},{},null],"Defaults":null}}`,
		`{"Kind":"service-defaults","Name":"web","UpstreamConfig":{"Overrides":[{"Name":"web"},{"Name":"web"}],"Defaults":{"Name":"x"}}}`,
		`{"Kind":"service-defaults","Name":"web","Expose":{"Paths":[{},null,{"Path":"","ListenerPort":-1,"LocalPathPort":99999}]}}`,
		`{"Kind":"service-defaults","Name":"web","Mode":"transparent","TransparentProxy":{"OutboundListenerPort":-5}}`,
		`{"Kind":"proxy-defaults","Name":"other"}`, `{"Kind":"proxy-defaults","Name":"global","Config":{"a":{"a":{"a":[null,[],{}]}}}}`,
		`{"Kind":"proxy-defaults","Name":"global","Config":[]}`, `{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":{"not":"text"}}}`,
		`{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":7,"local_connect_timeout_ms":"x","handshake_timeout_ms":-1}}`,
		`{"Kind":"mesh","TLS":{"Incoming":{"TLSMinVersion":"x"}}}`, `{"Kind":"mesh","TLS":{"Incoming":{"CipherSuites":["x",""]}}}`, `{"Kind":"mesh","TLS":null}`,
		`{"Kind":"service-intentions","Name":"web"}`, `{"Kind":"service-intentions","Name":"web","Sources":null}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[null]}`, `{"Kind":"service-intentions","Name":"web","Sources":[{}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Action":"allow"},{"Name":"a","Action":"deny"}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Permissions":[]}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Permissions":[null]}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Permissions":[{"Action":"deny","HTTP":{}}]}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Permissions":[{"Action":"deny","HTTP":{"PathRegex":"(((("}}]}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"a","Permissions":[{"Action":"deny","HTTP":{"PathPrefix":"x","Header":[{}],"Methods":[""]}}]}]}`,
		`{"Kind":"service-intentions","Name":"w*b","Sources":[{"Name":"a","Action":"allow"}]}`,
		`{"Kind":"service-intentions","Name":"*","Sources":[{"Name":"*","Action":"deny"}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[{"Name":"` + long + `","Action":"allow"}]}`,
		`{"Kind":"service-intentions","Name":"web","Sources":[` + strings.Repeat(`{"Name":"a","Action":"allow"},`, 1000) + `{"Name":"b","Action":"deny"}]}`,
		`{"Kind":"exported-services","Name":"default","Services":[{}]}`, `{"Kind":"exported-services","Name":"default","Services":[null,{"Name":"*","Consumers":[{}]}]}`,
		`{"Kind":"service-router","Name":"web","Routes":[{"Match":{"HTTP":null}}]}`, `{"Kind":"service-resolver","Name":"web","Redirect":{"Service":"web"}}`,
		`{"Kind":"service-splitter","Name":"web","Splits":[]}`, `{"Kind":"ingress-gateway","Name":"g","Listeners":[null]}`,
		`{"Kind":"api-gateway","Name":"g"}`, `{"Kind":"http-route","Name":"r","Parents":[{"Kind":"x"}]}`,
	} {
		rec := w.call("PUT", "/v1/config", body, asManagement)
		if rec.Code != 200 && rec.Code != 400 {
			t.Errorf("%.120s: %d %.200s", body, rec.Code, rec.Body)
		}
		if rec.Code == 200 {
			stored++
		}
		for _, path := range []string{
			"/v1/config/service-defaults", "/v1/config/proxy-defaults/global", "/v1/config/mesh/mesh", "/v1/config/service-intentions", "/v1/config/exported-services",
			"/v1/connect/intentions", "/v1/connect/intentions/match?by=destination&name=web", "/v1/connect/intentions/check?source=a&destination=web",
			"/v1/health/connect/web?merge-central-config", "/v1/discovery-chain/web",
		} {
			if rec := w.call("GET", path, "", asManagement); rec.Code >= 500 {
				t.Errorf("after %.120s: %s: %d %s", body, path, rec.Code, rec.Body)
			}
		}
	}
	if stored < 3 {
		t.Errorf("only %d entries were stored: what is read?", stored)
	}
}

// A body is never unpacked: what is small on the wire stays small.
func TestAttack_CompressedBodiesAreNotUnpacked(t *testing.T) {
	w := newWorld(t)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 16<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/v1/acl/login", "/v1/acl/policy", "/v1/config", "/v1/txn", "/v1/catalog/register"} {
		method := "PUT"
		if target == "/v1/acl/login" {
			method = "POST"
		}
		req := httptest.NewRequest(method, target, bytes.NewReader(bomb.Bytes()))
		req.Header.Set("Content-Encoding", "gzip")
		req.Header.Set("X-Consul-Token", management)
		rec := httptest.NewRecorder()
		if w.http.ServeHTTP(rec, req); rec.Code != 400 {
			t.Errorf("%s: %d %.200s", target, rec.Code, rec.Body)
		}
	}
}
