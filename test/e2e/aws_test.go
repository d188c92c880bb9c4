package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/logging"
)

const (
	region   = "us-west-2"
	serverID = "consul.test" // the header value of the scripts' auth methods
)

// localAWS is the local AWS with a way to make it misbehave. Task credentials
// are always given out right.
type localAWS struct {
	*awslocal.Server
	fault atomic.Pointer[awslocal.Fault]
	skew  atomic.Int64 // nanoseconds that its clock is ahead
}

func startAWS() (*localAWS, error) {
	a := &localAWS{}
	fixture := awslocal.Demo()
	fixture.Accounts[0].Roles = append(fixture.Accounts[0].Roles,
		oddRole(1, "bad-name", "Web Service", ""), oddRole(2, "capitals", "WEB", ""), oddRole(3, "lost", "web", "nosuch"))
	server, err := awslocal.New(fixture, awslocal.Options{
		Now: func() time.Time { return time.Now().Add(time.Duration(a.skew.Load())) },
		Fault: func(service, _ string) awslocal.Fault {
			if f := a.fault.Load(); f != nil && (service == "sts" || service == "iam") {
				return *f
			}
			return awslocal.Fault{}
		},
	})
	if err != nil {
		return nil, err
	}
	a.Server = server
	return a, a.Start(context.Background(), "127.0.0.1:0")
}

// oddRole is a task role whose tags are not what they should be.
func oddRole(number int, name, service, namespace string) awslocal.Role {
	role := awslocal.Role{
		Name: name, Path: "/consul-ecs/", ID: fmt.Sprintf("AROAODD%014d", number),
		Tags: map[string]string{"consul.hashicorp.com.service-name": service},
		Permissions: []awslocal.Permission{{
			Action: []string{"iam:GetRole"}, Resource: []string{"arn:aws:iam::" + awslocal.DemoAccount + ":role/consul-ecs/" + name},
		}},
		Trust: awslocal.Trust{Service: []string{"ecs-tasks.amazonaws.com"}},
	}
	if namespace != "" {
		role.Tags["consul.hashicorp.com.namespace"] = namespace
	}
	return role
}

func (a *localAWS) environ() []string {
	return []string{"AWS_ENDPOINT_URL_STS=" + a.URL(), "AWS_ENDPOINT_URL_IAM=" + a.URL()}
}

func (a *localAWS) startTask(role string) (awslocal.Task, error) {
	return a.StartTask(awslocal.TaskSpec{
		Role: "arn:aws:iam::" + awslocal.DemoAccount + ":role/" + role, Cluster: "e2e", Region: region,
	})
}

// cmdAWS starts the local AWS and points the SDK of the script's commands at it.
func cmdAWS(ts *testscript.TestScript, neg bool, _ []string) {
	refuseNegation(ts, neg)
	a, err := startAWS()
	ts.Check(err)
	ts.Defer(func() { _ = a.Close() })
	storyOf(ts).aws = a
	for _, pair := range a.environ() {
		name, value, _ := strings.Cut(pair, "=")
		ts.Setenv(name, value)
	}
}

// faults are the ways in which AWS misbehaves in the scripts.
var faults = map[string]*awslocal.Fault{
	"off":       nil,
	"huge":      {Status: 200, Size: 4 << 20, Body: "<GetCallerIdentityResponse>"},
	"redirect":  {Status: 302, Location: "http://127.0.0.1:1/"},
	"not-xml":   {Status: 200, Body: `{"GetCallerIdentityResponse":{}}`},
	"html":      {Status: 200, ContentType: "text/html", Body: "<html>maintenance</html>"},
	"throttled": {Status: 400, Code: "Throttling"},
	"slow":      {Delay: time.Minute},
	"cut":       {Cut: true},
	"late":      nil,
}

// cmdFault makes AWS misbehave: fault KIND, or fault off. "late" is no fault of
// AWS: an hour passes.
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	storyOf(ts).aws.skew.Store(0)
	if args[0] == "late" {
		storyOf(ts).aws.skew.Store(int64(time.Hour))
	}
	fault, known := faults[args[0]]
	if !known {
		ts.Fatalf("unknown fault %q", args[0])
	}
	storyOf(ts).aws.fault.Store(fault)
}

// bearerCommand is a command of the scripts: bearer KIND FILE writes a bearer
// token with the credentials of the environment, spoiled in one way.
func bearerCommand() {
	if err := writeBearer(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func writeBearer(kind, path string) error {
	in := awsiam.BearerInput{Region: region, ServerIDHeaderValue: serverID, IncludeEntity: true}
	switch kind {
	case "no-server-id":
		in.ServerIDHeaderValue = ""
	case "other-server-id":
		in.ServerIDHeaderValue = "other.test"
	case "no-entity":
		in.IncludeEntity = false
	}
	if kind == "later" {
		// A signature says the second: two of one second are the same.
		next := time.Now().Truncate(time.Second).Add(time.Second)
		<-time.After(time.Until(next))
	}
	token, err := awsiam.NewBearerToken(context.Background(), in)
	if err != nil {
		return err
	}
	spoiled, err := spoil(kind, token)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(spoiled), 0o600)
}

// spoil breaks a bearer token in one way. "good" and "later" leave it as it is.
func spoil(kind string, token logging.Secret) (string, error) {
	text := token.Reveal()
	var outer map[string]string
	if err := json.Unmarshal([]byte(text), &outer); err != nil {
		return "", err
	}
	switch kind {
	case "good", "later", "no-server-id", "other-server-id", "no-entity":
		return text, nil
	case "truncated":
		return text[:len(text)/2], nil
	case "huge", "gigantic":
		outer["padding"] = strings.Repeat("x", map[string]int{"huge": 64, "gigantic": 256}[kind]<<10)
	case "other-host":
		outer["iam_request_url"] = encode("https://evil.example/")
	case "query":
		u, err := url.Parse(decode(outer["iam_request_url"]))
		if err != nil {
			return "", err
		}
		u.RawQuery = "Action=GetSessionToken"
		outer["iam_request_url"] = encode(u.String())
	case "two-authorizations", "forged", "old":
		var headers map[string][]string
		if err := json.Unmarshal([]byte(decode(outer["iam_request_headers"])), &headers); err != nil {
			return "", err
		}
		auth := headers["Authorization"][0]
		switch kind {
		case "two-authorizations":
			headers["Authorization"] = []string{auth, auth}
		case "forged":
			headers["Authorization"] = []string{auth[:len(auth)-4] + "0000"}
		case "old":
			day, _, _ := strings.Cut(headers["X-Amz-Date"][0], "T")
			headers["X-Amz-Date"] = []string{"20200102T030405Z"}
			headers["Authorization"] = []string{strings.ReplaceAll(auth, day, "20200102")}
		}
		raw, err := json.Marshal(headers)
		if err != nil {
			return "", err
		}
		outer["iam_request_headers"] = encode(string(raw))
	default:
		return "", fmt.Errorf("unknown way to spoil a token: %q", kind)
	}
	raw, err := json.Marshal(outer)
	return string(raw), err
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func decode(s string) string {
	raw, _ := base64.StdEncoding.DecodeString(s) // of our own making
	return string(raw)
}
