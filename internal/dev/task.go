package dev

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/logging"
)

// task is one ECS task as the played commands see it.
type task struct {
	awslocal.Task
	env          []string
	dir          string
	clientToken  string // files in dir
	serviceToken string
	agent        *node // its client agent, once that was started
}

// startTask starts a task with a role of the demo account.
func (w *world) startTask(role string) (*task, error) {
	t, err := w.aws.StartTask(awslocal.TaskSpec{
		Role:    "arn:aws:iam::" + account + ":role/" + role,
		Cluster: "lictor-dev",
		Region:  region,
		Family:  role[strings.LastIndexByte(role, '/')+1:],
	})
	if err != nil {
		return nil, err
	}
	dir := w.file("task-" + t.ID)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	env := append(w.awsEndpoints(),
		"AWS_CONTAINER_CREDENTIALS_FULL_URI="+t.CredentialsURI,
		"ECS_CONTAINER_METADATA_URI_V4="+t.MetadataURI,
	)
	return &task{Task: t, env: env, dir: dir, clientToken: dir + "/client-token", serviceToken: dir + "/service-token"}, nil
}

// login is the documents' consul login for one method.
func (w *world) login(t *task, method, sink string) []string {
	return []string{
		"login",
		"-http-addr", "https://" + w.https(),
		"-ca-file", w.caFile(),
		"-partition", demoPartition,
		"-type", "aws-iam",
		"-method", method,
		"-meta", "consul.hashicorp.com/task-id=" + t.ID,
		"-meta", "consul.hashicorp.com/cluster=arn:aws:ecs:" + region + ":" + account + ":cluster/lictor-dev",
		"-aws-region", region,
		"-aws-auto-bearer-token", "-aws-include-entity",
		"-token-sink-file", sink,
	}
}

// on adds where the server is, and the token in a file, to a command.
func (w *world) on(tokenFile string, command ...string) []string {
	return append(command, "-http-addr", "https://"+w.https(), "-ca-file", w.caFile(), "-token-file", tokenFile)
}

// playTask plays the life of one task, from its role's credentials to logout.
func (w *world) playTask(ctx context.Context) error {
	var t *task
	w.report.section("One ECS task, role consul-ecs/web")
	err := w.report.do(ctx, step{"the task starts", func(context.Context) (string, error) {
		var err error
		t, err = w.startTask("consul-ecs/web")
		if err != nil {
			return "", err
		}
		return "credentials of its role, task " + t.ID[:8], nil
	}})
	if err != nil {
		return err
	}
	defer w.aws.StopTask(t.ID)
	defer func() {
		if t.agent != nil && t.agent.process != nil {
			t.agent.process.kill()
		}
	}()
	return w.report.do(ctx,
		step{"consul login: a client token", w.loginStep(t, clientMethod, t.clientToken, "consul-ecs-client-role")},
		step{"consul login: a service token", w.loginStep(t, serviceMethod, t.serviceToken, "web")},
		step{"token read -stale -self, on every server", w.readEverywhere(t)},
		step{"the client agent starts and joins", func(ctx context.Context) (string, error) { return w.startClient(ctx, t) }},
		w.member(t, "alive"),
		step{"both tokens, through the agent", w.throughAgent(t)},
		step{"the client token runs an agent", w.decisions(t.clientToken, demoPartition+"/default", []decision{
			{"node", "write", "ip-10-0-3-17", true},
			{"service", "read", "web", true},
			{"service", "write", "web", false},
			{"acl", "read", "", false},
		})},
		step{"the service token registers web", w.decisions(t.serviceToken, demoPartition+"/"+demoNamespace, []decision{
			{"service", "write", "web", true},
			{"service", "write", "web-sidecar-proxy", true},
			{"node", "read", "ip-10-0-3-17", true},
			{"service", "write", "api", false},
		})},
		step{"consul acl token list is denied", func(ctx context.Context) (string, error) {
			_, err := w.tools.consul(ctx, nil, w.on(t.clientToken, "acl", "token", "list", "-partition", demoPartition)...)
			return refusedWith(err, "403", "Permission denied", "'acl:read'")
		}},
		step{"SIGTERM to the client agent", t.stopClient},
		w.member(t, "left"),
		step{"consul logout, both tokens", func(ctx context.Context) (string, error) {
			for _, sink := range []string{t.clientToken, t.serviceToken} {
				if _, err := w.tools.consul(ctx, nil, w.on(sink, "logout")...); err != nil {
					return "", err
				}
			}
			return "no output, exit code 0", nil
		}},
		step{"both tokens are gone", func(ctx context.Context) (string, error) { return w.gone(ctx, t) }},
	)
}

// readEverywhere reads both tokens on each server from what that server has:
// nobody has to wait for replication.
func (w *world) readEverywhere(t *task) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		for _, n := range w.servers {
			for _, sink := range []string{t.clientToken, t.serviceToken} {
				_, err := w.tools.consul(ctx, nil, "acl", "token", "read", "-stale", "-self",
					"-http-addr", "https://"+n.addr(n.https), "-ca-file", w.caFile(), "-token-file", sink)
				if err != nil {
					return "", fmt.Errorf("%s: %w", n.name, err)
				}
			}
		}
		return "both work at once, also for stale reads", nil
	}
}

// loginStep logs in and checks what the token is bound to.
func (w *world) loginStep(t *task, method, sink, bound string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if _, err := w.tools.consul(ctx, t.env, w.login(t, method, sink)...); err != nil {
			return "", err
		}
		out, err := w.tools.consul(ctx, nil, w.on(sink, "acl", "token", "read", "-self")...)
		if err != nil {
			return "", err
		}
		accessor, err := field(out, "AccessorID")
		if err != nil {
			return "", err
		}
		if !strings.Contains(out, bound) || !strings.Contains(out, t.ID) {
			return "", fmt.Errorf("the token is not bound to %s and the task:\n%s", bound, out)
		}
		return fmt.Sprintf("%s…, bound to %s", accessor[:8], bound), nil
	}
}

// gone proves that neither token works and that none of the task's is stored.
func (w *world) gone(ctx context.Context, t *task) (string, error) {
	for _, sink := range []string{t.clientToken, t.serviceToken} {
		_, err := w.tools.consul(ctx, nil, w.on(sink, "acl", "token", "read", "-self")...)
		if _, err := refusedWith(err, "403", "ACL not found"); err != nil {
			return "", err
		}
	}
	for _, namespace := range []string{"default", demoNamespace} {
		out, err := w.tools.consul(ctx, w.operator(), "acl", "token", "list", "-partition", demoPartition, "-namespace", namespace)
		if err != nil {
			return "", err
		}
		if strings.Contains(out, t.ID) {
			return "", fmt.Errorf("a token of the task is still stored:\n%s", out)
		}
	}
	return "403 ACL not found, and none is stored", nil
}

// playRefusals shows who may not log in.
func (w *world) playRefusals(ctx context.Context) error {
	w.report.section("Who may not log in")
	return w.report.do(ctx,
		w.refusedLogin("a role outside the trusted path", "other/outsider", "is not trusted"),
		w.refusedLogin("a role without a service name", "consul-ecs/untagged", "invalid bind name"),
		w.refusedLogin("a role that may not read itself", "consul-ecs/no-getrole", ""),
		step{"no refused login left a token", func(ctx context.Context) (string, error) {
			out, err := w.tools.consul(ctx, w.operator(), "acl", "token", "list", "-partition", demoPartition, "-namespace", "*")
			if err != nil {
				return "", err
			}
			if strings.Contains(out, "token created via login") {
				return "", fmt.Errorf("a token is stored:\n%s", out)
			}
			return "the token list is empty of logins", nil
		}},
	)
}

func (w *world) refusedLogin(title, role, reason string) step {
	return step{title, func(ctx context.Context) (string, error) {
		t, err := w.startTask(role)
		if err != nil {
			return "", err
		}
		defer w.aws.StopTask(t.ID)
		_, err = w.tools.consul(ctx, t.env, w.login(t, serviceMethod, t.serviceToken)...)
		if _, err := os.Stat(t.serviceToken); !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("the refused login wrote %s", t.serviceToken)
		}
		return refusedWith(err, "Error logging in", reason)
	}}
}

// refusedWith checks that a command was refused and that its complaint has all parts. The proof
// is the complaint's reason.
func refusedWith(err error, parts ...string) (string, error) {
	if err == nil {
		return "", errors.New("it was allowed")
	}
	var failed *commandError
	if !errors.As(err, &failed) || failed.code != 1 {
		return "", err
	}
	for _, part := range parts {
		if !strings.Contains(failed.stderr, part) {
			return "", fmt.Errorf("the refusal does not say %q: %w", part, err)
		}
	}
	return brief(failed.stderr), nil
}

// brief returns the status and reason of a complaint of the form
// "… Unexpected response code: 403 (reason)".
func brief(complaint string) string {
	reason, _, _ := strings.Cut(strings.TrimSpace(complaint), "\n")
	if _, rest, ok := strings.Cut(reason, "Unexpected response code: "); ok {
		reason = strings.TrimSuffix(strings.Replace(rest, "(", "", 1), ")")
	}
	const most = 110
	if runes := []rune(reason); len(runes) > most {
		reason = string(runes[:most]) + "…"
	}
	return reason
}

// decision is one question to the authorizer and the answer it must give.
type decision struct {
	resource, access, segment string
	allowed                   bool
}

// decisions asks the server what the token in a file may do in a partition/namespace.
func (w *world) decisions(tokenFile, scope string, asked []decision) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		token, err := os.ReadFile(tokenFile)
		if err != nil {
			return "", err
		}
		answers, err := w.authorize(ctx, logging.Secret(token), scope, asked)
		if err != nil {
			return "", err
		}
		var may, mayNot []string
		for i, d := range asked {
			what := strings.TrimSpace(d.resource + ":" + d.access + " " + d.segment)
			if answers[i] != d.allowed {
				return "", fmt.Errorf("%s: allowed is %v", what, answers[i])
			}
			if d.allowed {
				may = append(may, what)
			} else {
				mayNot = append(mayNot, what)
			}
		}
		return "may " + strings.Join(may[:1], "") + ", not " + mayNot[0], nil
	}
}

// authorize calls the endpoint that answers what a token may do (acl.md section 2).
func (w *world) authorize(ctx context.Context, token logging.Secret, scope string, asked []decision) ([]bool, error) {
	type question struct{ Resource, Access, Segment string }
	questions := make([]question, len(asked))
	for i, d := range asked {
		questions[i] = question{Resource: d.resource, Access: d.access, Segment: d.segment}
	}
	body, err := json.Marshal(questions)
	if err != nil {
		return nil, err
	}
	partition, namespace, _ := strings.Cut(scope, "/")
	url := fmt.Sprintf("https://%s/v1/internal/acl/authorize?partition=%s&ns=%s", w.https(), partition, namespace)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Consul-Token", token.Reveal())
	client, err := w.httpClient()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", resp.Status, answer)
	}
	var answers []struct{ Allow bool }
	if err := json.Unmarshal(answer, &answers); err != nil || len(answers) != len(asked) {
		return nil, fmt.Errorf("unexpected answer %q: %v", answer, err)
	}
	allowed := make([]bool, len(asked))
	for i, a := range answers {
		allowed[i] = a.Allow
	}
	return allowed, nil
}

// httpClient trusts the demo's CA and nothing else.
func (w *world) httpClient() (*http.Client, error) {
	pem, err := os.ReadFile(w.caFile())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", w.caFile())
	}
	return &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
	}, nil
}
