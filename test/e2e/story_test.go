package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lictor/lictor/internal/freeport"
)

// story is what one script has started.
type story struct {
	aws     *localAWS
	server  *server
	files   *serverFiles
	secrets []string // what no output may hold
	held    net.Conn // of hold
}

type storyKey struct{}

func storyOf(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

// refuseNegation ends a script that puts "!" before a command that has to hold.
func refuseNegation(ts *testscript.TestScript, neg bool) {
	if neg {
		ts.Fatalf("this command cannot be negated")
	}
}

// cmdServer starts consul agent as a server on the story's data directory:
// server [config-file...]. It sets the addresses and the management token in
// the environment, and waits until the server answers.
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	s := storyOf(ts)
	if s.files == nil {
		files, err := newServerFiles(ts.MkAbs("server"))
		ts.Check(err)
		s.files = files
	}
	for i := range args {
		args[i] = ts.MkAbs(args[i])
	}
	var env []string
	if s.aws != nil {
		env = s.aws.environ()
	}
	srv, err := startServer(s.files, env, args...)
	ts.Check(err)
	s.server = srv
	ts.Defer(srv.kill)
	ts.Setenv("CONSUL_HTTP_ADDR", s.files.http)
	ts.Setenv("HTTPS_ADDR", "https://"+s.files.https)
	ts.Setenv("CA_FILE", s.files.ca)
	ts.Setenv("CONSUL_HTTP_TOKEN", s.files.management)
}

// cmdAgent starts consul agent with arguments of the script's own, in place of
// server: agent ARG...
func cmdAgent(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	srv, err := startAgent(ts.MkAbs("."), nil, args...)
	ts.Check(err)
	storyOf(ts).server = srv
	ts.Defer(srv.kill)
}

// cmdFreePorts sets variables to ports that nobody listens on: freeports NAME...
func cmdFreePorts(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	ports, err := freeport.Take(len(args))
	ts.Check(err)
	for i, name := range args {
		ts.Setenv(name, strconv.Itoa(ports[i]))
	}
}

// cmdCapture sets a variable to what the group of a pattern matches in the
// last command's output: capture NAME stdout|stderr PATTERN.
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	if len(args) != 3 {
		ts.Fatalf("usage: capture NAME stdout|stderr PATTERN")
	}
	pattern, err := regexp.Compile("(?m)" + args[2])
	ts.Check(err)
	found := pattern.FindStringSubmatch(ts.ReadFile(args[1]))
	if len(found) != 2 {
		ts.Fatalf("no match for %q with one group", args[2])
	}
	ts.Setenv(args[0], found[1])
}

// cmdSignal sends a signal to the server: signal TERM|INT|KILL|HUP [exit-code]. But for HUP it
// waits until the process has ended, and with a code that it ended with it.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	if len(args) == 0 {
		ts.Fatalf("usage: signal NAME [code]")
	}
	code, err := storyOf(ts).server.signal(args[0])
	ts.Check(err)
	if len(args) == 2 && strconv.Itoa(code) != args[1] {
		ts.Fatalf("exit code %d, want %s", code, args[1])
	}
}

// cmdServerLog waits until the running or ended server has printed a text. A "$" at its end is the end of a line.
func cmdServerLog(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	text := strings.Join(args, " ")
	if start, ends := strings.CutSuffix(text, "$"); ends {
		text = start + "\n"
	}
	ts.Check(storyOf(ts).server.waitFor(text))
}

// cmdLoginTokens checks how many tokens from logins are stored: logintokens N.
func cmdLoginTokens(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	tokens, err := storyOf(ts).files.loginTokens()
	ts.Check(err)
	if len(args) != 1 || args[0] != strconv.Itoa(len(tokens)) {
		ts.Fatalf("%d tokens from logins are stored, want %v", len(tokens), args)
	}
}

// loginTokens returns the secrets of the stored tokens that a login made, by accessor.
func (f *serverFiles) loginTokens() (map[string]string, error) {
	body, err := f.get("/v1/acl/tokens?ns=*")
	if err != nil {
		return nil, err
	}
	var rows []struct{ AccessorID, SecretID, AuthMethod string }
	if err := json.Unmarshal(body, &rows); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, row := range rows {
		if row.AuthMethod != "" {
			found[row.AccessorID] = row.SecretID
		}
	}
	return found, nil
}

// cmdMode checks a file's permission bits: mode FILE 0600.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("0%o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// cmdTask starts an ECS task with a role and makes the script's commands run in it: task consul-ecs/web.
func cmdTask(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	task, err := storyOf(ts).aws.startTask(args[0])
	ts.Check(err)
	ts.Check(storyOf(ts).hideCredentials(task.CredentialsURI))
	ts.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", task.CredentialsURI)
	ts.Setenv("ECS_CONTAINER_METADATA_URI_V4", task.MetadataURI)
	ts.Setenv("TASK_ID", task.ID)
	cluster, _, _ := strings.Cut(task.ARN, ":task/")
	ts.Setenv("CLUSTER_ARN", cluster+":cluster/e2e")
}
