package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/logging"
)

var inRaft = []string{"raft/*", "raft/*/*", "raft/*/*/*"}

// Where docs/secrets.md says that a secret is stored, by kind: paths below the data directory.
var stored = map[string][]string{
	"management token": append([]string{"checks/*"}, inRaft...), // which registered a check
	"created token":    inRaft,
	"login's token":    inRaft,
	"key's value":      inRaft,
	"agent's token":    append([]string{"acl-tokens.json", "services/*", "checks/*"}, inRaft...),
	"gossip key":       {"serf/local.keyring"},
	"a private key":    inRaft, // of the mesh CA
	"mesh CA's key":    inRaft,

	"intention's meta":     inRaft,
	"auth method's config": inRaft,
	"check's header":       {"checks/*"},
}

// vault is the secrets of a running system, by kind.
type vault map[string][]string

func (v vault) add(kind string, values ...string) {
	for _, value := range values {
		if len(value) >= 12 {
			v[kind] = append(v[kind], value)
		}
	}
}

// holds returns the kinds of secrets that are in a text: as they are, in base64, escaped, or packed.
func (v vault) holds(text []byte) (kinds []string) {
	if bytes.HasPrefix(text, []byte{0x1f, 0x8b}) {
		if unzipped, err := gzip.NewReader(bytes.NewReader(text)); err == nil {
			text, _ = io.ReadAll(unzipped)
		}
	}
	for kind, values := range v {
		for _, value := range values {
			quoted, _ := json.Marshal(value)
			for _, form := range []string{value, encode(value), base64.RawURLEncoding.EncodeToString([]byte(value)), string(quoted[1 : len(quoted)-1])} {
				if bytes.Contains(text, []byte(form)) && !slices.Contains(kinds, kind) {
					kinds = append(kinds, kind)
				}
			}
		}
	}
	return kinds
}

// besiegedWithSecrets is a server with an audit trail, a gossip key and tokens, and everything that was said to it.
func besiegedWithSecrets(t *testing.T) (*besieged, vault) {
	t.Helper()
	b, v := &besieged{t: t}, vault{}
	var err error
	if b.aws, err = startAWS(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.aws.Close() })
	if b.files, err = newServerFiles(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	key := newGossipKey()
	extra := filepath.Join(b.files.dir, "extra.hcl")
	config := fmt.Sprintf(`encrypt = %q
log_level = "TRACE"
log_file = %q
enable_debug = true
audit {
  enabled = true
  sink "out" {
    type = "file" format = "json" path = "/dev/stdout" delivery_guarantee = "best-effort"
  }
  sink "file" {
    type = "file" format = "json" path = %q delivery_guarantee = "best-effort" rotate_bytes = 10000000
  }
}
`+v.secretsOfFiles(), key, filepath.Join(b.files.dir, "logs", "consul.log"), filepath.Join(b.files.dir, "audit", "audit.json"))
	if err := os.WriteFile(extra, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if b.server, err = startServer(b.files, b.aws.environ(), extra); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.server.kill)
	v.add("gossip key", key)
	v.add("management token", b.files.management)
	pem, err := os.ReadFile(filepath.Join(b.files.dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	v.add("server's key", strings.Split(string(pem), "\n")[1])
	v.add("a private key", "PRIVATE KEY-----")
	b.useSecrets(v)
	return b, v
}

// useSecrets does with every secret what it is for, and some that go wrong.
func (b *besieged) useSecrets(v vault) {
	t := b.t
	b.addMethod()
	client, err := api.NewClient(&api.Config{Address: b.files.http, Token: b.files.management})
	if err != nil {
		t.Fatal(err)
	}
	created, _, err := client.ACL().TokenCreate(&api.ACLToken{Description: "a token"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v.add("created token", created.SecretID)
	mine, _, err := client.ACL().TokenCreate(&api.ACLToken{Description: "of the agent", Policies: []*api.ACLLink{{Name: "global-management"}}}, nil)
	if err == nil {
		_, err = client.Agent().UpdateAgentACLToken(mine.SecretID, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	v.add("agent's token", mine.SecretID)
	for _, spoiled := range []string{"good", "forged", "truncated"} {
		b.useBearer(v, spoiled)
	}
	of, err := api.NewClient(&api.Config{Address: b.files.http, Token: mine.SecretID})
	if err == nil {
		err = of.Agent().ServiceRegisterOpts(&api.AgentServiceRegistration{
			Name: "s", Check: &api.AgentServiceCheck{TTL: "1h", CheckID: "c"},
		}, api.ServiceRegisterOpts{Token: created.SecretID})
	}
	if err == nil || !strings.Contains(err.Error(), "403") {
		t.Fatalf("a token without a permission registers a service: %v", err)
	}
	if err := of.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "s", Check: &api.AgentServiceCheck{TTL: "1h", CheckID: "c"}}); err != nil {
		t.Fatal(err)
	}
	value := "a value that is nobody's business"
	v.add("key's value", value)
	if _, err := client.KV().Put(&api.KVPair{Key: "a", Value: []byte(value)}, nil); err != nil {
		t.Fatal(err)
	}
	unknown := "7d0e5c52-0e0b-4a55-9a3e-9b4ad2a3d0f1"
	v.add("unknown token", unknown)
	for _, path := range []string{"/v1/kv/a?token=" + unknown, "/v1/acl/token/" + unknown, "/v1/nope?token=" + created.SecretID, "/v1/acl/token/" + created.SecretID} {
		req, err := http.NewRequest(http.MethodGet, "http://"+b.files.http+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+unknown)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	created2, _, err := client.ACL().TokenClone(created.AccessorID, "a copy", nil)
	if err != nil {
		t.Fatal(err)
	}
	v.add("created token", created2.SecretID)
	b.useSecretsOfOperators(v, client, created.SecretID)
}

// useBearer logs in with a new task's credentials, after a token was spoiled in some way.
func (b *besieged) useBearer(v vault, spoiled string) {
	t := b.t
	t.Helper()
	keys := b.credentials()
	v.add("secret access key", keys.SecretAccessKey)
	v.add("session token", keys.Token)
	t.Setenv("AWS_ENDPOINT_URL_STS", b.aws.URL())
	token, err := awsiam.NewBearerToken(t.Context(), awsiam.BearerInput{
		Region: region, ServerIDHeaderValue: serverID, IncludeEntity: true,
		AccessKeyID: keys.AccessKeyId, SecretAccessKey: logging.Secret(keys.SecretAccessKey), SessionToken: logging.Secret(keys.Token),
	})
	if err != nil {
		t.Fatal(err)
	}
	var outer map[string]string
	if err := json.Unmarshal([]byte(token), &outer); err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(decode(outer["iam_request_headers"]), "Signature=")
	v.add("bearer token", outer["iam_request_headers"], signature[:60])
	text, err := spoil(spoiled, token)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"AuthMethod": "ecs", "BearerToken": text})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+b.files.http+"/v1/acl/login", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if (resp.StatusCode == http.StatusOK) != (spoiled == "good") {
		t.Fatalf("a bearer token that is %s: %s", spoiled, resp.Status)
	}
	var login struct{ SecretID string }
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&login); err != nil {
			t.Fatal(err)
		}
		v.add("login's token", login.SecretID)
	}
}

// outputs are the texts that a running server shows, by where they were found.
func (b *besieged) outputs(v vault) map[string][]byte {
	t := b.t
	t.Helper()
	found := map[string][]byte{"what the server prints": []byte(b.server.log())}
	for _, path := range []string{
		"/v1/agent/metrics", "/v1/agent/metrics?format=prometheus", "/v1/agent/self", "/v1/agent/host", "/v1/agent/members",
		"/v1/catalog/nodes", "/v1/acl/auth-methods", "/v1/acl/auth-method/ecs", "/v1/connect/ca/roots", "/v1/acl/policies",
		"/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1",
	} {
		answer, err := b.files.get(path)
		if err != nil {
			t.Fatal(err)
		}
		found[path] = answer
	}
	maps.Copy(found, b.debugged(v))
	for _, dir := range []string{"audit", "logs"} {
		for name, text := range filesBelow(t, filepath.Join(b.files.dir, dir)) {
			found[dir+"/"+name] = text
		}
	}
	return found
}

// debugged returns the files that consul debug collects, while logins are refused.
func (b *besieged) debugged(v vault) map[string][]byte {
	t := b.t
	t.Helper()
	out := filepath.Join(t.TempDir(), "debug")
	cmd := exec.Command(filepath.Join(binaries, "consul"), "debug", "-duration=10s", "-interval=5s", "-output="+out, "-http-addr="+b.files.http)
	cmd.Env = append(os.Environ(), "CONSUL_HTTP_TOKEN="+b.files.management)
	ended := make(chan error, 1)
	go func() {
		text, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("consul debug: %w\n%s", err, text)
		}
		ended <- err
	}()
	for tick := time.NewTicker(time.Second); ; b.useBearer(v, "forged") {
		select {
		case err := <-ended:
			tick.Stop()
			if err != nil {
				t.Fatal(err)
			}
			return unpackDebug(t, out)
		case <-tick.C:
		}
	}
}

func unpackDebug(t *testing.T, out string) map[string][]byte {
	t.Helper()
	f, err := os.Open(out + ".tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			found[header.Name], err = io.ReadAll(archive)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"agent.json", "host.json", "members.json", "metrics.json", "consul.log", "1/heap.prof", "1/profile.prof", "2/goroutine.prof"} {
		if len(found["debug/"+name]) == 0 {
			t.Errorf("consul debug has no %s: %v", name, slices.Sorted(maps.Keys(found)))
		}
	}
	return found
}

func filesBelow(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files[filepath.ToSlash(name)], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// private reports whether only one user can reach a file below dir, for its own mode or that of a directory.
func private(t *testing.T, dir, name string) bool {
	t.Helper()
	for ; name != "."; name = filepath.Dir(name) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 == 0 {
			return true
		}
	}
	return false
}

// searchFiles searches the files below dir, and reports those that hold a secret where none is to be, or that others can
// read. It returns where the secrets of each kind are.
func searchFiles(t *testing.T, v vault, dir string, stored map[string][]string) (seen map[string][]string) {
	t.Helper()
	seen = map[string][]string{}
	for name, text := range filesBelow(t, dir) {
		for _, kind := range v.holds(text) {
			seen[kind] = append(seen[kind], name)
			if !slices.ContainsFunc(stored[kind], func(pattern string) bool { ok, _ := filepath.Match(pattern, name); return ok }) {
				t.Errorf("%s holds the %s", name, kind)
			}
			if !private(t, dir, name) {
				t.Errorf("other users can read %s, with the %s", name, kind)
			}
		}
	}
	return seen
}

// TestAttack_LiveSecretsAreWhereTheyAreStored searches everything that a server writes and shows for every secret
// that is alive, and finds none but where docs/secrets.md says so, in files of one user.
func TestAttack_LiveSecretsAreWhereTheyAreStored(t *testing.T) {
	b, v := besiegedWithSecrets(t)
	outputs := b.outputs(v)
	bytesSeen := 0
	for where, text := range outputs {
		bytesSeen += len(text)
		if kinds := v.holds(text); len(kinds) > 0 {
			t.Errorf("%s holds %v", where, kinds)
		}
	}
	if code, err := b.server.signal("TERM"); err != nil || code != 1 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	data := filepath.Join(b.files.dir, "data")
	seen := searchFiles(t, v, data, stored)
	for _, kind := range []string{"management token", "login's token", "gossip key", "agent's token", "mesh CA's key", "check's header", "auth method's config"} {
		if len(seen[kind]) == 0 {
			t.Errorf("the %s is stored nowhere: does the search work?", kind)
		}
	}
	count := 0
	for _, values := range v {
		count += len(values)
	}
	t.Logf("%d secrets of %d kinds; %d outputs with %d KiB hold none; of the files in the data directory these do: %v", count, len(v), len(outputs), bytesSeen>>10, seen)
}
