package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdSecrets remembers what must not be told: secrets FILE..., each line of
// the files, and of a bearer token its parts as well.
func cmdSecrets(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	for _, name := range args {
		for line := range strings.Lines(ts.ReadFile(name)) {
			line = strings.TrimSpace(line)
			storyOf(ts).hide(line)
			var bearer map[string]string
			if json.Unmarshal([]byte(line), &bearer) == nil {
				_, signature, _ := strings.Cut(decode(bearer["iam_request_headers"]), "Signature=")
				storyOf(ts).hide(bearer["iam_request_headers"], signature[:64])
			}
		}
	}
}

// cmdNoSecrets checks that neither files nor what the server printed holds a
// secret: nosecrets FILE...
func cmdNoSecrets(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	s := storyOf(ts)
	s.hide(s.files.management)
	texts := map[string]string{"the server's log": s.server.log()}
	for _, name := range args {
		if texts[name] = ts.ReadFile(name); texts[name] == "" {
			ts.Fatalf("%s is empty", name)
		}
	}
	for where, text := range texts {
		for _, secret := range s.secrets {
			if strings.Contains(text, secret) {
				ts.Fatalf("%s holds the secret %q:\n%s", where, secret, text)
			}
		}
	}
}

// cmdGet prints the answer of a GET to a file: get PATH FILE.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	body, err := storyOf(ts).files.get(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), body, 0o600))
}

// get asks the server with the management token.
func (f *serverFiles) get(path string) ([]byte, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+f.http+path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Consul-Token", f.management)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// hideCredentials remembers what a task's credentials endpoint hands out.
func (s *story) hideCredentials(uri string) error {
	resp, err := http.Get(uri)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var credentials struct{ SecretAccessKey, Token string }
	if err := json.NewDecoder(resp.Body).Decode(&credentials); err != nil {
		return err
	}
	s.hide(credentials.SecretAccessKey, credentials.Token)
	return nil
}

func (s *story) hide(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" {
			s.secrets = append(s.secrets, secret)
		}
	}
}
