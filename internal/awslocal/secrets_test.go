package awslocal

import (
	"slices"
	"strings"
	"testing"
)

const west2 = "us-west-2"

func put(t *testing.T, f func(account, region, name, value string) (string, error), name, value string) string {
	t.Helper()
	arn, err := f(DemoAccount, west2, name, value)
	if err != nil {
		t.Fatal(err)
	}
	return arn
}

func TestGetSecretValue(t *testing.T) {
	s := start(t, Demo(), Options{})
	arn := put(t, s.PutSecret, "my-consul-gossip-key", "old")
	if again := put(t, s.PutSecret, "my-consul-gossip-key", "new"); again != arn {
		t.Errorf("another value changed the ARN to %s", again)
	}
	partial := "arn:aws:secretsmanager:us-west-2:123456789012:secret:my-consul-gossip-key"
	if !strings.HasPrefix(arn, partial+"-") {
		t.Errorf("got %s", arn)
	}
	for _, tt := range []struct{ id, stage, want string }{
		{arn, "", "new"},
		{partial, "AWSCURRENT", "new"},
		{"my-consul-gossip-key", "AWSPREVIOUS", "old"},
	} {
		var got getSecretValueResult
		askJSON(t, s, demoKey, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": tt.id, "VersionStage": tt.stage}, &got)
		if got.SecretString != tt.want || got.ARN != arn || got.Name != "my-consul-gossip-key" || got.CreatedDate.IsZero() {
			t.Errorf("%+v: got %+v", tt, got)
		}
		var same getSecretValueResult
		askJSON(t, s, demoKey, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": arn, "VersionId": got.VersionID}, &same)
		if same.SecretString != tt.want || !slices.Equal(same.VersionStages, got.VersionStages) {
			t.Errorf("by version: got %+v", same)
		}
	}
	for _, id := range []string{"nothing", partial[:len(partial)-1], strings.Replace(arn, west2, "us-east-1", 1)} {
		refused(t, askJSON(t, s, demoKey, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": id}, nil), "ResourceNotFoundException")
	}
	refused(t, askJSON(t, s, demoKey, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": arn, "VersionStage": "OTHER"}, nil), "ResourceNotFoundException")
	web, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "web"}))
	refused(t, askJSON(t, s, web, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": arn}, nil), "AccessDeniedException")
	refused(t, askJSON(t, s, web, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": "nothing"}, nil), "AccessDeniedException")
}

func TestGetParameters(t *testing.T) {
	s := start(t, Demo(), Options{})
	arn := put(t, s.PutParameter, "/consul/ca", "one")
	put(t, s.PutParameter, "/consul/ca", "two")
	var one struct{ Parameter parameter }
	for _, name := range []string{"/consul/ca", arn} {
		askJSON(t, s, demoKey, "ssm", "GetParameter", map[string]any{"Name": name, "WithDecryption": true}, &one)
		if p := one.Parameter; p.Value != "two" || p.Version != 2 || p.ARN != arn || p.Name != "/consul/ca" {
			t.Errorf("got %+v", p)
		}
	}
	askJSON(t, s, demoKey, "ssm", "GetParameter", map[string]any{"Name": arn}, &one)
	if v := one.Parameter.Value; v == "two" || v == "" {
		t.Errorf("without decryption: got %q", v)
	}
	var all struct {
		Parameters        []parameter
		InvalidParameters []string
	}
	askJSON(t, s, demoKey, "ssm", "GetParameters", map[string]any{"Names": []string{arn, "/x"}, "WithDecryption": true}, &all)
	if len(all.Parameters) != 1 || !slices.Equal(all.InvalidParameters, []string{"/x"}) {
		t.Errorf("got %+v", all)
	}
	refused(t, askJSON(t, s, demoKey, "ssm", "GetParameter", map[string]any{"Name": "/x"}, nil), "ParameterNotFound")
	refused(t, askJSON(t, s, demoKey, "ssm", "GetParameters", map[string]any{"Names": make([]string, 11)}, nil), "ValidationException")
	web, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "web"}))
	refused(t, askJSON(t, s, web, "ssm", "GetParameter", map[string]any{"Name": arn}, nil), "AccessDeniedException")
}

func TestSecretFor(t *testing.T) {
	s := start(t, Demo(), Options{})
	execution, web := "arn:aws:iam::123456789012:role/execution", "arn:aws:iam::123456789012:role/consul-ecs/web"
	secret := put(t, s.PutSecret, "db", `{"user":"u","port":5432}`)
	put(t, s.PutParameter, "gossip", "key")
	for _, tt := range []struct{ name, role, from, want, complaint string }{
		{name: "a secret", role: execution, from: secret, want: `{"user":"u","port":5432}`},
		{name: "a key of it", role: execution, from: secret + ":user::", want: "u"},
		{name: "a number of it", role: execution, from: secret + ":port:AWSCURRENT:", want: "5432"},
		{name: "a parameter by name", role: execution, from: "gossip", want: "key"},
		{name: "a parameter by ARN", role: execution, from: "arn:aws:ssm:us-west-2:123456789012:parameter/gossip", want: "key"},
		{name: "a key that is not there", role: execution, from: secret + ":x::", complaint: "did not contain json key x"},
		{name: "a secret that is not there", role: execution, from: secret + "x", complaint: "retrieve secret from asm: ResourceNotFoundException"},
		{name: "a parameter that is not there", role: execution, from: "x", complaint: "invalid parameters: x"},
		{name: "a role that may not", role: web, from: secret, complaint: "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/web/1"},
		{name: "no role", role: "x", from: secret, complaint: "unable to assume the role 'x'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.SecretFor(tt.role, "1", west2, tt.from)
			if got != tt.want || (err != nil) != (tt.complaint != "") || err != nil && !strings.Contains(err.Error(), tt.complaint) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	if n := s.Total(Counter{Service: "secretsmanager", Role: "execution", Session: "1"}); n.Calls != 5 || n.Failed != 1 {
		t.Errorf("counted %+v", n)
	}
}
