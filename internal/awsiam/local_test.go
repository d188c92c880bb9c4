package awsiam

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/errs"
)

// localAWS starts a local AWS for one test and points the SDK's environment at nothing but it.
func localAWS(t *testing.T) *awslocal.Server {
	t.Helper()
	server, err := awslocal.New(awslocal.Demo(), awslocal.Options{})
	if err == nil {
		err = server.Start(context.WithoutCancel(t.Context()), "")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": server.URL(), "AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere,
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1",
	} {
		t.Setenv(name, value)
	}
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE",
		"AWS_ENDPOINT_URL_STS", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_WEB_IDENTITY_TOKEN_FILE",
	} {
		t.Setenv(name, "")
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
	return server
}

func localType(server *awslocal.Server) *Type {
	return &Type{STSEndpoint: server.URL(), IAMEndpoint: server.URL()}
}

func runTask(t *testing.T, server *awslocal.Server, role string) awslocal.Task {
	t.Helper()
	task, err := server.StartTask(awslocal.TaskSpec{Role: role})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", task.CredentialsURI)
	return task
}

// TestTaskLogsIn makes a token from a task's container credentials and verifies it.
func TestTaskLogsIn(t *testing.T) {
	server := localAWS(t)
	runTask(t, server, "web")
	token, err := NewBearerToken(t.Context(), BearerInput{IncludeEntity: true, ServerIDHeaderValue: "consul.test"})
	if err != nil {
		t.Fatal(err)
	}
	v, err := localType(server).Open(detailed())
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	links, err := authmethod.Bind([]*authmethod.BindingRule{{BindType: authmethod.BindService, BindName: "${entity_tags.consul.hashicorp.com.service-name}"}}, id, nil)
	if err != nil || len(links.Services) != 1 || links.Services[0] != "web" {
		t.Errorf("got links %+v (%v)", links, err)
	}
	if id.Principal != "arn:aws:iam::123456789012:role/consul-ecs/web" {
		t.Errorf("got principal %s", id.Principal)
	}
}

// TestLocalAWSDecides takes tokens that only AWS can judge.
func TestLocalAWSDecides(t *testing.T) {
	server := localAWS(t)
	v, err := localType(server).Open(detailed())
	if err != nil {
		t.Fatal(err)
	}
	input := BearerInput{IncludeEntity: true, ServerIDHeaderValue: "consul.test"}
	for _, c := range []struct{ name, role, text string }{
		{"a role that may not read itself", "no-getrole", "received error code 403: "},
		{"a role of another path", "outsider", "IAM principal arn:aws:iam::123456789012:role/other/outsider is not trusted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			runTask(t, server, c.role)
			token, err := NewBearerToken(t.Context(), input)
			if err != nil {
				t.Fatal(err)
			}
			_, err = v.Verify(t.Context(), token)
			if errs.KindOf(err) != errs.Denied || !strings.HasPrefix(err.Error(), c.text) {
				t.Errorf("got error %v, want %q", err, c.text)
			}
		})
	}
	t.Run("a key that AWS does not know", func(t *testing.T) {
		b := builderFor("web")
		b.at = time.Now()
		_, err := v.Verify(t.Context(), mustBuild(t, b))
		if errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), "received error code 403") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("a task that ended", func(t *testing.T) {
		task := runTask(t, server, "web")
		token, err := NewBearerToken(t.Context(), input)
		if err != nil {
			t.Fatal(err)
		}
		server.StopTask(task.ID)
		if _, err = v.Verify(t.Context(), token); errs.KindOf(err) != errs.Denied {
			t.Errorf("got error %v", err)
		}
	})
}

// TestUserLogsInAtAnEndpoint signs for the local AWS's own URL.
func TestUserLogsInAtAnEndpoint(t *testing.T) {
	server := localAWS(t)
	token, err := NewBearerToken(t.Context(), BearerInput{
		Region: "eu-central-1", STSEndpoint: server.URL(), IncludeEntity: true,
		AccessKeyID: awslocal.DemoAccessKey, SecretAccessKey: awslocal.DemoSecret,
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := new(Type).Open(map[string]any{
		"BoundIAMPrincipalARNs": "arn:aws:iam::123456789012:user/*", "EnableIAMEntityDetails": true,
		"STSEndpoint": server.URL(), "IAMEndpoint": server.URL(), "IAMEntityTags": "team",
	})
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify(t.Context(), token)
	if err != nil || id.Variables["entity_tags.team"] != "platform" {
		t.Errorf("got %v (%v)", id.Variables, err)
	}
}

func TestWhatNewBearerTokenNeeds(t *testing.T) {
	server := localAWS(t)
	t.Run("a region", func(t *testing.T) {
		t.Setenv("AWS_REGION", "")
		_, err := NewBearerToken(t.Context(), BearerInput{AccessKeyID: "a", SecretAccessKey: "b"})
		wantError(t, err, errs.Invalid, "AWS region not found")
	})
	t.Run("a region that is one", func(t *testing.T) {
		_, err := NewBearerToken(t.Context(), BearerInput{Region: "evil.com/", AccessKeyID: "a", SecretAccessKey: "b"})
		wantError(t, err, errs.Invalid, `invalid AWS region: "evil.com/"`)
	})
	t.Run("credentials", func(t *testing.T) {
		_, err := NewBearerToken(t.Context(), BearerInput{})
		if errs.KindOf(err) != errs.Invalid || !strings.HasPrefix(err.Error(), "no AWS credentials found: ") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("an endpoint that is a URL", func(t *testing.T) {
		_, err := NewBearerToken(t.Context(), BearerInput{STSEndpoint: "bad", AccessKeyID: "a", SecretAccessKey: "b"})
		wantError(t, err, errs.Invalid, `url is invalid: "bad"`)
	})
	t.Run("an STS that can be reached", func(t *testing.T) {
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		_, err := NewBearerToken(t.Context(), BearerInput{STSEndpoint: "http://127.0.0.1:1", IncludeEntity: true, AccessKeyID: "a", SecretAccessKey: "b"})
		if errs.KindOf(err) != errs.Unavailable || !strings.HasPrefix(err.Error(), "RequestError: send request failed: ") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("credentials that STS knows", func(t *testing.T) {
		_, err := NewBearerToken(t.Context(), BearerInput{IncludeEntity: true, AccessKeyID: "AKIAUNKNOWN000000001", SecretAccessKey: "b"})
		if errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), "InvalidClientTokenId") {
			t.Errorf("got error %v", err)
		}
	})
	t.Run("an STS that is not too busy", func(t *testing.T) {
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
		server.Throttle("sts", awslocal.Limit{Rate: 1e-9, Burst: 1})
		in := BearerInput{IncludeEntity: true, AccessKeyID: awslocal.DemoAccessKey, SecretAccessKey: awslocal.DemoSecret, Self: &Self{}}
		for range 2 { // of which one asks
			if _, err := NewBearerToken(t.Context(), in); err != nil {
				t.Error(err)
			}
		}
		in.Self = nil
		if _, err := NewBearerToken(t.Context(), in); errs.KindOf(err) != errs.Throttled {
			t.Errorf("got error %v", err)
		}
	})
}
