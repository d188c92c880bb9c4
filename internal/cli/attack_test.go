package cli

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A client trusted every server where it was given no CA: here each command
// that sends a secret verifies, and sends nothing to a server that it cannot trust.
func TestCVE_2026_50166_ServersAreVerifiedWithoutACA(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that end early
	server.StartTLS()
	defer server.Close()
	bearer, sink := write(t, "bearer", "proof"), filepath.Join(t.TempDir(), "token")
	for _, command := range []string{
		"login -method m -bearer-token-file " + bearer + " -token-sink-file " + sink, "logout", "acl token read -self", "acl token renew", "acl token list", "acl token list -limit 1",
		"acl explain -self -resource key -access read", "acl auth-method explain -name m -bearer-token-file " + bearer, "acl bootstrap",
	} {
		for _, env := range []map[string]string{{}, {"CONSUL_HTTP_SSL_VERIFY": "true"}, {"CONSUL_HTTP_SSL_VERIFY": "1"}} {
			env["CONSUL_HTTP_ADDR"], env["CONSUL_HTTP_TOKEN"] = server.URL, "352fa8e0-262f-faa6-4a9b-8121f346438e"
			got := world{env: env}.run(t, strings.Fields(command)...)
			if got.code != 1 || !strings.Contains(got.err, "certificate signed by unknown authority") || strings.Contains(got.err+got.out, "352fa8e0") {
				t.Errorf("%s: %+v", command, got)
			}
		}
	}
	if asked.Load() > 0 {
		t.Errorf("the server was asked %d times", asked.Load())
	}
}
