package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/logging"
)

const loginToken = `{"AccessorID":"a","SecretID":"c1b1f7d2-0000-0000-0000-000000000001","Description":"token created via login"}`

// loginWorld has a login command whose AWS is make.
func loginWorld(api *fakeAPI, bearer bearerFunc) world {
	w := api.at()
	w.root = &Command{Name: "consul", Sub: []*Command{login(bearer), logout()}}
	return w
}

// noAWS fails the test if AWS is asked.
func noAWS(t *testing.T) bearerFunc {
	return func(context.Context, awsiam.BearerInput) (logging.Secret, error) {
		t.Error("AWS is asked")
		return "", nil
	}
}

func TestLoginWithBearerFile(t *testing.T) {
	const line = "POST /v1/acl/login?dc=dc1&ns=team&partition=ecs"
	api := newAPI(t, answers{line: loginToken})
	sink := filepath.Join(t.TempDir(), "deep", "down", "token")
	got := loginWorld(api, noAWS(t)).run(t, "login", "-method", "m", "-type", "anything",
		"-bearer-token-file", write(t, "bearer", " proof\n"), "-token-sink-file", sink, "-datacenter", "dc1",
		"-namespace", "team", "-partition", "ecs",
		"-meta", "consul.hashicorp.com/task-id=1a", "-meta", "k=old", "-meta", "k=a=b:/c")
	if got != (result{}) {
		t.Fatalf("got %+v, want silence", got)
	}
	api.body(t, line, `{"AuthMethod":"m","BearerToken":"proof","Meta":{"consul.hashicorp.com/task-id":"1a","k":"a=b:/c"}}`)
	checkSink(t, sink)
}

func TestLoginWithAWS(t *testing.T) {
	api := newAPI(t, answers{"POST /v1/acl/login": loginToken})
	sink := filepath.Join(t.TempDir(), "token")
	var in awsiam.BearerInput
	w := loginWorld(api, func(_ context.Context, i awsiam.BearerInput) (logging.Secret, error) {
		in = i
		return "signed", nil
	})
	got := w.run(t, "login", "-method", "m", "-token-sink-file", sink, "-aws-auto-bearer-token", "-aws-include-entity",
		"-aws-region", "eu-central-1", "-aws-sts-endpoint", "https://sts", "-aws-server-id-header-value", "id",
		"-aws-access-key-id", "key", "-aws-secret-access-key", "secret", "-aws-session-token", "session")
	if got != (result{}) {
		t.Fatalf("got %+v, want silence", got)
	}
	want := awsiam.BearerInput{
		Region: "eu-central-1", STSEndpoint: "https://sts", ServerIDHeaderValue: "id", IncludeEntity: true,
		AccessKeyID: "key", SecretAccessKey: "secret", SessionToken: "session",
	}
	if in != want {
		t.Errorf("AWS is asked for something else than the flags say")
	}
	api.body(t, "POST /v1/acl/login", `{"AuthMethod":"m","BearerToken":"signed","Meta":null}`)
	checkSink(t, sink)
}

// checkSink wants the secret of loginToken, for the owner only, and nothing else in the directory.
func checkSink(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(content) != "c1b1f7d2-0000-0000-0000-000000000001" {
		t.Errorf("the sink holds %q", content)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the sink's mode is %v", info.Mode())
	}
	if files := list(t, filepath.Dir(path)); len(files) != 1 {
		t.Errorf("the sink's directory holds %v", files)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A reader that holds the old file open goes on reading it.
func TestLoginReplacesTheSinkAtOnce(t *testing.T) {
	api := newAPI(t, answers{"POST /v1/acl/login": loginToken})
	sink := write(t, "token", "old")
	if err := os.Chmod(sink, 0o644); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()

	got := loginWorld(api, noAWS(t)).run(t, "login", "-method", "m", "-bearer-token-file", write(t, "bearer", "x"), "-token-sink-file", sink)
	if got.code != 0 {
		t.Fatal(got.err)
	}
	checkSink(t, sink)
	old := make([]byte, 8)
	if n, _ := reader.Read(old); string(old[:n]) != "old" {
		t.Errorf("the old file holds %q", old[:n])
	}
}

func TestLoginComplaints(t *testing.T) {
	dir := t.TempDir()
	sink := filepath.Join(dir, "token")
	empty := write(t, "empty", " \n")
	auto := []string{"-method", "m", "-token-sink-file", sink, "-aws-auto-bearer-token"}
	file := []string{"-method", "m", "-token-sink-file", sink, "-bearer-token-file"}
	tests := []struct {
		name string
		args []string
		err  string // a trailing … stands for the usage
	}{
		{"no method", nil, "Missing required '-method' flag\n…"},
		{"no sink", []string{"-method", "m"}, "Missing required '-token-sink-file' flag\n…"},
		{"no bearer token", file[:4], "Missing required '-bearer-token-file' flag\n…"},
		{"no such file", append(file, "nosuch"), "open nosuch: no such file or directory\n"},
		{"an empty file", append(file, empty), "No bearer token found in " + empty + "\n"},
		{"both kinds", append(auto, "-bearer-token-file", empty), "Cannot use '-bearer-token-file' flag with '-aws-auto-bearer-token'\n"},
		{"AWS without saying so", append(file, empty, "-aws-region", "r"), "Missing '-aws-auto-bearer-token' flag\n"},
		{"AWS entity without saying so", append(file, empty, "-aws-include-entity"), "Missing '-aws-auto-bearer-token' flag\n"},
		{"a key without its secret", append(auto, "-aws-access-key-id", "k"), "Missing '-aws-secret-access-key' flag\n"},
		{"a secret without its key", append(auto, "-aws-secret-access-key", "k"), "Missing '-aws-access-key-id' flag\n"},
		{"a session alone", append(auto, "-aws-session-token", "k"), "Missing '-aws-access-key-id' and '-aws-secret-access-key' flags\n"},
		{"an argument", append(auto, "extra"), "Should have no non-flag arguments.\n"},
		{"AWS refuses", auto, "Error with aws-iam auth method: AWS region not found\n"},
		{"the server refuses", append(file, write(t, "bearer", "x")), "Error logging in: Unexpected response code: 403 (Permission denied)\n"},
		{"the sink is a directory", []string{"-method", "m", "-token-sink-file", dir, "-bearer-token-file", empty},
			"Error writing token to file sink: " + dir + " is not a regular file\n"},
		{"the sink's directory is a file", []string{"-method", "m", "-token-sink-file", empty + "/x", "-bearer-token-file", empty},
			"Error writing token to file sink: mkdir " + empty + ": not a directory\n"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			api := newAPI(t, answers{"POST /v1/acl/login": "403 Permission denied"})
			w := loginWorld(api, func(context.Context, awsiam.BearerInput) (logging.Secret, error) {
				return "", errors.New("AWS region not found")
			})
			got := w.run(t, append([]string{"login"}, slices.Clone(tc.args)...)...)
			if got.code != 1 || got.out != "" {
				t.Errorf("exit code %d, stdout %q", got.code, got.out)
			}
			begin, cut := strings.CutSuffix(tc.err, "…")
			if cut && !strings.HasPrefix(got.err, begin) || !cut && got.err != tc.err {
				t.Errorf("stderr is %q, want %q", got.err, tc.err)
			}
			if left := list(t, dir); len(left) > 0 {
				t.Errorf("files left behind: %v", left)
			}
		})
	}
}

// A login whose token cannot be kept is undone.
func TestLoginThatCannotKeepItsTokenLogsOut(t *testing.T) {
	dir := t.TempDir()
	sink := filepath.Join(dir, "token")
	api := newAPI(t, answers{"POST /v1/acl/login": loginToken, "POST /v1/acl/logout": "true"})
	w := loginWorld(api, func(context.Context, awsiam.BearerInput) (logging.Secret, error) {
		// By now the sink is known to be writable; make it a directory after all.
		return "signed", os.MkdirAll(filepath.Join(sink, "x"), 0o700)
	})
	got := w.run(t, "login", "-method", "m", "-token-sink-file", sink, "-aws-auto-bearer-token")
	if got.code != 1 || !strings.HasPrefix(got.err, "Error writing token to file sink: ") {
		t.Errorf("got %+v", got)
	}
	if last := api.last(t); last.line != "POST /v1/acl/logout" || last.token != "c1b1f7d2-0000-0000-0000-000000000001" {
		t.Errorf("the last request is %+v", last)
	}
	if left := list(t, dir); !slices.Equal(left, []string{"token"}) {
		t.Errorf("files left behind: %v", left)
	}
}

func TestLogoutSendsTheTokenOfTheFile(t *testing.T) {
	api := newAPI(t, answers{"POST /v1/acl/logout": "true"})
	file := write(t, "token", "secret")
	if got := api.run(t, "logout", "-token-file", file); got != (result{}) {
		t.Fatalf("got %+v, want silence", got)
	}
	if token := api.last(t).token; token != "secret" {
		t.Errorf("sent token %q", token)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("the file is gone")
	}
}
