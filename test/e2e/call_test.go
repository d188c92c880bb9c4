package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdCall makes a request of the API with the script's address and token: call
// METHOD PATH [BODY-FILE]. Its stdout is the status, the headers that say how a read was
// answered, and the body.
func cmdCall(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	var body []byte
	if len(args) > 2 {
		var err error
		body, err = os.ReadFile(ts.MkAbs(args[2]))
		ts.Check(err)
	}
	req, err := http.NewRequest(args[0], "http://"+ts.Getenv("CONSUL_HTTP_ADDR")+args[1], bytes.NewReader(body))
	ts.Check(err)
	if token := ts.Getenv("CONSUL_HTTP_TOKEN"); token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	client := http.Client{Timeout: 2 * patience}
	start := time.Now()
	resp, err := client.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), resp.StatusCode)
	for _, name := range []string{"X-Consul-Effective-Consistency", "X-Consul-Results-Filtered-By-Acls", "X-Cache"} {
		if value := resp.Header.Get(name); value != "" {
			fmt.Fprintf(ts.Stdout(), "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
	ts.Logf("%s %s: %d after %s", args[0], args[1], resp.StatusCode, time.Since(start).Round(time.Millisecond))
}
