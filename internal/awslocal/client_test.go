package awslocal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// client is a program of AWS's own that has to take the server for AWS. Its
// environment holds the credentials and the endpoints.
type client struct {
	name string
	// caller returns the ARN of GetCallerIdentity.
	caller func(t *testing.T) (string, error)
	// role returns the ARN and the tags of GetRole.
	role func(t *testing.T, name string) (string, map[string]string, error)
	// assume returns the environment of a session of the role.
	assume func(t *testing.T, arn, session string) (map[string]string, error)
}

// clients are the SDK and, where it is installed, the aws command line.
func clients() []client {
	all := []client{{"sdk", sdkCaller, sdkRole, sdkAssume}}
	if _, err := exec.LookPath("aws"); err == nil {
		all = append(all, client{"aws command line", cliCaller, cliRole, cliAssume})
	}
	return all
}

// setAWS makes env the whole AWS environment of the test.
func setAWS(t *testing.T, s *Server, env map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // restores it at the end
			os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_REGION":                  "us-west-2",
		"AWS_DEFAULT_REGION":          "us-west-2",
		"AWS_ENDPOINT_URL_STS":        s.URL(),
		"AWS_ENDPOINT_URL_IAM":        s.URL(),
		"AWS_CONFIG_FILE":             os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED":   "true",
		"NO_PROXY":                    "127.0.0.1",
	} {
		t.Setenv(name, value)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
}

func operatorEnv() map[string]string {
	return map[string]string{"AWS_ACCESS_KEY_ID": DemoAccessKey, "AWS_SECRET_ACCESS_KEY": DemoSecret}
}

func TestClients(t *testing.T) {
	s := start(t, Demo(), Options{})
	for _, c := range clients() {
		t.Run(c.name+" as a task", func(t *testing.T) {
			task := startTask(t, s, TaskSpec{Role: "web"})
			setAWS(t, s, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": task.CredentialsURI})
			arn, err := c.caller(t)
			if want := "arn:aws:sts::123456789012:assumed-role/web/" + task.ID; err != nil || arn != want {
				t.Errorf("caller %s, %v", arn, err)
			}
			arn, tags, err := c.role(t, "web")
			if want := "arn:aws:iam::123456789012:role/consul-ecs/web"; err != nil || arn != want {
				t.Errorf("role %s, %v", arn, err)
			}
			if tags["consul.hashicorp.com.service-name"] != "web" || tags["consul.hashicorp.com.namespace"] != "team-1" {
				t.Errorf("tags %v", tags)
			}
		})
		t.Run(c.name+" as the operator", func(t *testing.T) {
			setAWS(t, s, operatorEnv())
			if _, _, err := c.role(t, "nobody"); err == nil || !strings.Contains(err.Error(), "NoSuchEntity") {
				t.Errorf("no such role: got %v", err)
			}
			env, err := c.assume(t, "arn:aws:iam::123456789012:role/consul-ecs/api", "me")
			if err != nil {
				t.Fatal(err)
			}
			setAWS(t, s, env)
			arn, err := sdkCaller(t)
			if want := "arn:aws:sts::123456789012:assumed-role/api/me"; err != nil || arn != want {
				t.Errorf("session %s, %v", arn, err)
			}
		})
	}
}

func TestSDKRecognisesRefusals(t *testing.T) {
	s := start(t, Demo(), Options{})
	task := startTask(t, s, TaskSpec{Role: "no-getrole"})
	setAWS(t, s, map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": task.CredentialsURI})
	_, _, err := sdkRole(t, "no-getrole")
	expectRefusal(t, err, "AccessDenied")
	s.StopTask(task.ID)
	if _, err := sdkCaller(t); err == nil || !strings.Contains(err.Error(), "Credentials not found") {
		t.Errorf("a stopped task: got %v", err)
	}
	env := operatorEnv()
	env["AWS_SECRET_ACCESS_KEY"] += "x"
	setAWS(t, s, env)
	_, err = sdkCaller(t)
	expectRefusal(t, err, "SignatureDoesNotMatch")
}

func expectRefusal(t *testing.T, err error, code string) {
	t.Helper()
	var refused smithy.APIError
	if !errors.As(err, &refused) || refused.ErrorCode() != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

// The SDK retries what AWS says may be retried.
func TestSDKRetriesThrottling(t *testing.T) {
	var calls atomic.Int32
	s := start(t, Demo(), Options{Fault: func(string, string) Fault {
		if calls.Add(1) == 1 {
			return Fault{Status: 400, Code: "Throttling"}
		}
		return Fault{}
	}})
	setAWS(t, s, operatorEnv())
	cfg := sdkConfig(t)
	cfg.Retryer = func() aws.Retryer { return retry.AddWithMaxBackoffDelay(retry.NewStandard(), time.Millisecond) }
	_, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if n := calls.Load(); err != nil || n != 2 {
		t.Errorf("got %v after %d calls", err, n)
	}
}

func sdkConfig(t *testing.T) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func sdkCaller(t *testing.T) (string, error) {
	out, err := sts.NewFromConfig(sdkConfig(t)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.Arn), nil
}

func sdkRole(t *testing.T, name string) (string, map[string]string, error) {
	out, err := iam.NewFromConfig(sdkConfig(t)).GetRole(t.Context(), &iam.GetRoleInput{RoleName: &name})
	if err != nil {
		return "", nil, err
	}
	tags := map[string]string{}
	for _, tag := range out.Role.Tags {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	return aws.ToString(out.Role.Arn), tags, nil
}

func sdkAssume(t *testing.T, arn, session string) (map[string]string, error) {
	out, err := sts.NewFromConfig(sdkConfig(t)).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: &session, DurationSeconds: aws.Int32(900)})
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"AWS_ACCESS_KEY_ID":     aws.ToString(out.Credentials.AccessKeyId),
		"AWS_SECRET_ACCESS_KEY": aws.ToString(out.Credentials.SecretAccessKey),
		"AWS_SESSION_TOKEN":     aws.ToString(out.Credentials.SessionToken),
	}, nil
}

// runAWS runs the aws command line against the endpoint of the environment
// and decodes what it prints.
func runAWS(t *testing.T, into any, args ...string) error {
	t.Helper()
	args = slices.Concat(args, []string{"--endpoint-url", os.Getenv("AWS_ENDPOINT_URL_STS"), "--output", "json"})
	cmd := exec.CommandContext(t.Context(), "aws", args...)
	out, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return fmt.Errorf("%w: %s", err, failed.Stderr)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(out, into)
}

func cliCaller(t *testing.T) (string, error) {
	var out struct{ Arn string }
	err := runAWS(t, &out, "sts", "get-caller-identity")
	return out.Arn, err
}

func cliRole(t *testing.T, name string) (string, map[string]string, error) {
	var out struct {
		Role struct {
			Arn  string
			Tags []tag
		}
	}
	if err := runAWS(t, &out, "iam", "get-role", "--role-name", name); err != nil {
		return "", nil, err
	}
	tags := map[string]string{}
	for _, tag := range out.Role.Tags {
		tags[tag.Key] = tag.Value
	}
	return out.Role.Arn, tags, nil
}

func cliAssume(t *testing.T, arn, session string) (map[string]string, error) {
	var out struct {
		Credentials struct {
			AccessKeyID     string `json:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
		}
	}
	err := runAWS(t, &out, "sts", "assume-role", "--role-arn", arn, "--role-session-name", session)
	return map[string]string{
		"AWS_ACCESS_KEY_ID":     out.Credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY": out.Credentials.SecretAccessKey,
		"AWS_SESSION_TOKEN":     out.Credentials.SessionToken,
	}, err
}
