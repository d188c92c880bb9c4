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

// task is an ECS task whose containers are the commands that a person types.
type task struct {
	awslocal.Task
	env  []string
	sink string // file for a token
}

// startTask starts a task with a role of the demo account.
func (w *world) startTask(role string) (*task, error) {
	t, err := w.aws.StartTask(awslocal.TaskSpec{
		Role:    "arn:aws:iam::" + account + ":role/" + role,
		Cluster: clusterName,
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
	return &task{Task: t, env: env, sink: dir + "/token"}, nil
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
		"-meta", "consul.hashicorp.com/cluster=arn:aws:ecs:" + region + ":" + account + ":cluster/" + clusterName,
		"-aws-region", region,
		"-aws-auto-bearer-token", "-aws-include-entity",
		"-token-sink-file", sink,
	}
}

// on adds where the server is, and the token in a file, to a command.
func (w *world) on(tokenFile string, command ...string) []string {
	return append(command, "-http-addr", "https://"+w.https(), "-ca-file", w.caFile(), "-token-file", tokenFile)
}

// playTasks runs two tasks of the local ECS through their whole life.
func (w *world) playTasks(ctx context.Context) error {
	var web, api *service
	w.report.section("Two ECS tasks, web and api")
	err := w.report.do(ctx,
		step{"lictor task-definition", func(ctx context.Context) (string, error) {
			err := w.startECS()
			if err == nil {
				web, err = w.decorate(ctx, "web", demoNamespace, "api.default")
			}
			if err == nil {
				api, err = w.decorate(ctx, "api", "default", "")
			}
			if err != nil {
				return "", err
			}
			w.services = []*service{web, api}
			return fmt.Sprintf("an application becomes %d containers", len(web.definition.Containers)), nil
		}},
		step{"ECS runs both tasks", func(context.Context) (string, error) {
			if err := w.startServices(); err != nil {
				return "", err
			}
			return fmt.Sprintf("task %s, task %s", web.task.ID[:8], api.task.ID[:8]), nil
		}},
		step{"consul-ecs client: login, agent, join", func(ctx context.Context) (string, error) {
			err := w.await(ctx, func(*service) string { return consulClient }, awslocal.ConditionHealthy)
			return "certificates by auto_encrypt", err
		}},
		step{"consul-ecs mesh-init: login, registration", func(ctx context.Context) (string, error) {
			err := w.await(ctx, func(*service) string { return meshInit }, awslocal.ConditionSuccess)
			return "exit code 0", err
		}},
	)
	if err != nil {
		return err
	}
	if err := w.report.do(ctx, w.tokenSteps(web)...); err != nil {
		return err
	}
	if err := w.report.do(ctx, w.lifeSteps(web, api)...); err != nil {
		return err
	}
	if err := w.playMesh(ctx, web, api); err != nil {
		return err
	}
	w.report.section("The end of both tasks")
	return w.report.do(ctx, w.endSteps(web, api)...)
}

// tokenSteps show what the tokens of a task are good for.
func (w *world) tokenSteps(s *service) []step {
	return []step{
		{"web's client token", w.bound(s, s.clientToken(), "consul-ecs-client-role")},
		{"web's service token", w.bound(s, s.serviceToken(), "web")},
		{"token read -stale -self, on every server", w.readEverywhere(s)},
		{"both tokens, through the agent", w.throughAgent(s)},
		{"the client token runs an agent", w.decisions(s.clientToken(), demoPartition+"/default", []decision{
			{"node", "write", "ip-10-0-3-17", true},
			{"service", "read", "web", true},
			{"service", "write", "web", false},
			{"acl", "read", "", false},
		})},
		{"the service token registers web", w.decisions(s.serviceToken(), demoPartition+"/"+demoNamespace, []decision{
			{"service", "write", "web", true},
			{"service", "write", "web-sidecar-proxy", true},
			{"node", "read", "ip-10-0-3-17", true},
			{"service", "write", "api", false},
		})},
		{"consul acl token list is denied", func(ctx context.Context) (string, error) {
			_, err := w.tools.consul(ctx, nil, w.on(s.clientToken(), "acl", "token", "list", "-partition", demoPartition)...)
			return refusedWith(err, "403", "Permission denied", "'acl:read'")
		}},
	}
}

// readEverywhere reads both tokens on each server from what that server has:
// nobody has to wait for replication.
func (w *world) readEverywhere(s *service) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		for _, n := range w.servers {
			for _, sink := range []string{s.clientToken(), s.serviceToken()} {
				_, err := w.tools.consul(ctx, nil, "acl", "token", "read", "-stale", "-self",
					"-http-addr", "https://"+loopback(n.https), "-ca-file", w.caFile(), "-token-file", sink)
				if err != nil {
					return "", fmt.Errorf("%s: %w", n.name, err)
				}
			}
		}
		return "both work at once, also for stale reads", nil
	}
}

// bound checks what a token of a task is bound to.
func (w *world) bound(s *service, file, to string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		out, err := w.tools.consul(ctx, nil, w.on(file, "acl", "token", "read", "-self")...)
		if err != nil {
			return "", err
		}
		accessor, err := field(out, "AccessorID")
		if err != nil {
			return "", err
		}
		if !strings.Contains(out, to) || !strings.Contains(out, s.task.ID) {
			return "", fmt.Errorf("the token is not bound to %s and the task:\n%s", to, out)
		}
		return fmt.Sprintf("%s…, bound to %s", accessor[:8], to), nil
	}
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
		_, err = w.tools.consul(ctx, t.env, w.login(t, serviceMethod, t.sink)...)
		if _, err := os.Stat(t.sink); !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("the refused login wrote %s", t.sink)
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
