package awslocal

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// askJSON makes a call of the JSON protocol, signed for us-west-2, and decodes the answer.
func askJSON(t *testing.T, s *Server, key aws.Credentials, service, action string, in, out any) reply {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	r := unsigned(t, s, string(body))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", jsonServices[service].target+"."+action)
	got := send(t, sign(t, r, string(body), key, service, s.now()))
	if kind := got.header.Get("Content-Type"); kind != "application/x-amz-json-1.1" {
		t.Errorf("got Content-Type %q", kind)
	}
	if out != nil && got.status == 200 {
		if err := json.Unmarshal([]byte(got.body), out); err != nil {
			t.Fatalf("%s: %v", got.body, err)
		}
	}
	return got
}

func refused(t *testing.T, got reply, code string) {
	t.Helper()
	if got.status != 400 || !strings.Contains(got.body, `"__type":"`+code+`"`) {
		t.Errorf("got %d %s, want %s", got.status, got.body, code)
	}
}

func west(spec TaskSpec) TaskSpec {
	spec.Region, spec.Cluster = "us-west-2", "prod"
	return spec
}

func TestListTasksInPages(t *testing.T) {
	s := start(t, Demo(), Options{})
	key, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "controller"}))
	var want []string
	for range 25 {
		want = append(want, startTask(t, s, west(TaskSpec{Role: "web"})).ARN)
	}
	startTask(t, s, TaskSpec{Role: "web", Region: "us-west-2"})
	startTask(t, s, TaskSpec{Role: "web", Region: "us-east-1", Cluster: "prod"})
	var got []string
	in := map[string]any{"cluster": "arn:aws:ecs:us-west-2:123456789012:cluster/prod", "maxResults": 10}
	for page := range 3 {
		var out listTasksResult
		askJSON(t, s, key, "ecs", "ListTasks", in, &out)
		if more := out.NextToken != ""; more != (page < 2) {
			t.Fatalf("page %d: token %q", page, out.NextToken)
		}
		got = append(got, out.TaskARNs...)
		in["nextToken"] = out.NextToken
		if page == 0 {
			s.StopTask(want[3][strings.LastIndexByte(want[3], '/')+1:]) // pages do not shift
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d tasks %v", len(got), got)
	}
	var stopped listTasksResult
	askJSON(t, s, key, "ecs", "ListTasks", map[string]any{"cluster": "prod", "desiredStatus": "STOPPED"}, &stopped)
	if !slices.Equal(stopped.TaskARNs, want[3:4]) {
		t.Errorf("stopped: %v", stopped.TaskARNs)
	}
	refused(t, askJSON(t, s, key, "ecs", "ListTasks", map[string]any{"nextToken": "x"}, nil), "InvalidParameterException")
	refused(t, askJSON(t, s, key, "ecs", "ListTasks", map[string]any{"maxResults": 101}, nil), "InvalidParameterException")
	refused(t, askJSON(t, s, key, "ecs", "ListTasks", map[string]any{"serviceName": "x"}, nil), "SerializationException")
}

func TestDescribeTasks(t *testing.T) {
	s := start(t, Demo(), Options{})
	key, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "controller"}))
	task := startTask(t, s, west(TaskSpec{Role: "web", IPv4: "10.0.3.17", Tags: map[string]string{"consul.hashicorp.com/mesh": "true"}}))
	if err := s.SetHealth(task.ID, "web", Healthy); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		include []string
		tags    []keyValue
	}{
		{"without tags", nil, []keyValue{}},
		{"with tags", []string{"TAGS"}, []keyValue{{"consul.hashicorp.com/mesh", "true"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out describeTasksResult
			askJSON(t, s, key, "ecs", "DescribeTasks", map[string]any{"cluster": "prod", "tasks": []string{task.ID, "gone"}, "include": tt.include}, &out)
			if len(out.Tasks) != 1 || len(out.Failures) != 1 || out.Failures[0].Reason != "MISSING" {
				t.Fatalf("got %+v", out)
			}
			got := out.Tasks[0]
			if got.ARN != task.ARN || got.LastStatus != Running || got.HealthStatus != Healthy || !slices.Equal(got.Tags, tt.tags) ||
				got.Containers[0].Interfaces[0].PrivateIPv4 != "10.0.3.17" {
				t.Errorf("got %+v", got)
			}
		})
	}
	refused(t, askJSON(t, s, key, "ecs", "DescribeTasks", map[string]any{"cluster": "prod"}, nil), "InvalidParameterException")
	refused(t, askJSON(t, s, key, "ecs", "DescribeTasks", map[string]any{"tasks": make([]string, 101)}, nil), "InvalidParameterException")
}

func TestStopTask(t *testing.T) {
	s := start(t, Demo(), Options{})
	asked := make(chan string, 1)
	task := startTask(t, s, west(TaskSpec{Role: "web", Stop: func(reason string) { asked <- reason }}))
	var out stopTaskResult
	askJSON(t, s, demoKey, "ecs", "StopTask", map[string]any{"cluster": "prod", "task": task.ARN, "reason": "enough"}, &out)
	if reason := <-asked; reason != "enough" || out.Task.DesiredStatus != Stopped || out.Task.LastStatus != Stopping {
		t.Errorf("asked with %q, got %+v", reason, out.Task)
	}
	var m taskMetadata
	if get(t, task.MetadataURI+"/task", &m); m.DesiredStatus != Stopped || m.Containers[0].DesiredStatus != Stopped || m.Containers[0].KnownStatus != Running {
		t.Errorf("metadata of a stopping task: %+v", m)
	}
	s.StopTask(task.ID)
	alone := startTask(t, s, west(TaskSpec{Role: "web"}))
	askJSON(t, s, demoKey, "ecs", "StopTask", map[string]any{"cluster": "prod", "task": alone.ID}, &out)
	if out.Task.LastStatus != Stopped || out.Task.StopCode != "UserInitiated" || out.Task.StoppedAt.IsZero() {
		t.Errorf("got %+v", out.Task)
	}
	refused(t, askJSON(t, s, demoKey, "ecs", "StopTask", map[string]any{"task": alone.ID}, nil), "InvalidParameterException")
}

func (e *epoch) UnmarshalJSON(data []byte) error {
	var seconds *float64
	err := json.Unmarshal(data, &seconds)
	if seconds != nil {
		e.Time = time.UnixMilli(int64(*seconds * 1000))
	}
	return err
}

func TestJSONProtocolRefuses(t *testing.T) {
	s := start(t, Demo(), Options{})
	web, _ := keyOf(t, startTask(t, s, TaskSpec{Role: "web"}))
	for _, action := range []string{"ListTasks", "RegisterTaskDefinition"} {
		got := askJSON(t, s, web, "ecs", action, map[string]any{}, nil)
		refused(t, got, "AccessDeniedException")
		if want := ":assumed-role/web/"; !strings.Contains(got.body, want) || !strings.Contains(got.body, "is not authorized to perform: ecs:"+action) {
			t.Errorf("got %s", got.body)
		}
	}
	refused(t, askJSON(t, s, web, "ecs", "StopTask", map[string]any{"task": "x"}, nil), "AccessDeniedException")
	refused(t, askJSON(t, s, web, "ecs", "DescribeTasks", map[string]any{"tasks": []string{"x"}}, nil), "AccessDeniedException")
	forged := demoKey
	forged.SecretAccessKey += "x"
	refused(t, askJSON(t, s, forged, "ecs", "ListTasks", map[string]any{}, nil), "InvalidSignatureException")
	forged.AccessKeyID = "AKIANOBODY0000000001"
	refused(t, askJSON(t, s, forged, "ssm", "GetParameter", map[string]any{}, nil), "UnrecognizedClientException")
	refused(t, askJSON(t, s, demoKey, "ecs", "DeleteCluster", map[string]any{}, nil), "UnknownOperationException")

	r := unsigned(t, s, "{}")
	r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.ListTasks")
	refused(t, send(t, r), "MissingAuthenticationTokenException")
	r.Body, r.ContentLength = nil, 0
	refused(t, send(t, sign(t, r, "", demoKey, "iam", time.Now())), "InvalidSignatureException")
}

const definition = `{"family":"shop","taskRoleArn":"arn:aws:iam::123456789012:role/consul-ecs/web",
 "networkMode":"awsvpc","requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"512","tags":[{"key":"team","value":"a"}],
 "containerDefinitions":[{"name":"shop","image":"shop","essential":true,"portMappings":[{"containerPort":9090}]}]}`

func TestSDKRunsATask(t *testing.T) {
	s := start(t, Demo(), Options{})
	client := ecs.NewFromConfig(aws.Config{
		Region: "us-west-2", BaseEndpoint: aws.String(s.URL()),
		Credentials: credentials.NewStaticCredentialsProvider(DemoAccessKey, DemoSecret, ""),
	})
	ctx := t.Context()
	registered, err := client.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family:               aws.String("shop"),
		TaskRoleArn:          aws.String("arn:aws:iam::123456789012:role/consul-ecs/web"),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("shop"), Image: aws.String("shop")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(registered.TaskDefinition.TaskDefinitionArn); got != "arn:aws:ecs:us-west-2:123456789012:task-definition/shop:1" {
		t.Errorf("registered %s", got)
	}
	run := func() *ecs.RunTaskOutput {
		out, err := client.RunTask(ctx, &ecs.RunTaskInput{
			TaskDefinition: aws.String("shop"), Cluster: aws.String("prod"), Count: aws.Int32(2),
			Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("b")}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := run(); len(out.Failures) != 2 {
		t.Errorf("without a runner: %+v", out)
	}
	s.OnRunTask(func(r RunRequest) (string, error) {
		task, err := s.StartTask(TaskSpec{Role: r.Definition.TaskRoleARN, Cluster: r.Cluster, Region: r.Region, Family: r.Definition.Family, Tags: r.Tags})
		return task.ID, err
	})
	ran := run()
	if len(ran.Tasks) != 2 || aws.ToString(ran.Tasks[0].Tags[0].Value) != "b" {
		t.Fatalf("ran %+v", ran)
	}
	var listed []string
	pages := ecs.NewListTasksPaginator(client, &ecs.ListTasksInput{Cluster: aws.String("prod"), MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		listed = append(listed, page.TaskArns...)
	}
	if len(listed) != 2 {
		t.Errorf("listed %v", listed)
	}
	stopped, err := client.StopTask(ctx, &ecs.StopTaskInput{Cluster: aws.String("prod"), Task: &listed[0]})
	if err != nil || stopped.Task.StopCode != types.TaskStopCodeUserInitiated || stopped.Task.StoppedAt == nil {
		t.Errorf("stopped %+v, %v", stopped, err)
	}
	_, err = client.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: aws.String("a b"), Tasks: listed})
	expectRefusal(t, err, "ClusterNotFoundException")
}

// command runs the aws command line as the operator and decodes what it prints.
func command(t *testing.T, s *Server, into any, args ...string) error {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "aws", append(args, "--output", "json")...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "AWS_ENDPOINT_URL=" + s.URL(), "AWS_DEFAULT_REGION=us-west-2",
		"AWS_ACCESS_KEY_ID=" + DemoAccessKey, "AWS_SECRET_ACCESS_KEY=" + DemoSecret,
		"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull,
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, complaint.String())
	}
	return json.Unmarshal(out, into)
}

// The aws command line checks what it sends and what it gets against AWS's own models.
func TestCommandLine(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Log("no aws command here: the SDK's tests have to do")
		return
	}
	s := start(t, Demo(), Options{})
	if _, err := s.PutSecret(DemoAccount, "us-west-2", "gossip", "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutParameter(DemoAccount, "us-west-2", "/consul/gossip", "key"); err != nil {
		t.Fatal(err)
	}
	task := startTask(t, s, west(TaskSpec{Role: "web"}))
	path := t.TempDir() + "/definition.json"
	if err := os.WriteFile(path, []byte(definition), 0o600); err != nil {
		t.Fatal(err)
	}
	type printed struct {
		Tasks          []struct{ LastStatus string }
		TaskDefinition struct{ Revision int }
		SecretString   string
		Parameters     []struct{ Value string }
	}
	for _, tt := range []struct {
		command string
		held    func(printed) bool
	}{
		{"ecs describe-tasks --cluster prod --include TAGS --tasks " + task.ID, func(p printed) bool { return p.Tasks[0].LastStatus == Running }},
		{"ecs register-task-definition --cli-input-json file://" + path, func(p printed) bool { return p.TaskDefinition.Revision == 1 }},
		{"secretsmanager get-secret-value --secret-id gossip", func(p printed) bool { return p.SecretString == "key" }},
		{"ssm get-parameters --with-decryption --names /consul/gossip", func(p printed) bool { return p.Parameters[0].Value == "key" }},
	} {
		t.Run(tt.command[:strings.Index(tt.command, " -")], func(t *testing.T) {
			t.Parallel()
			var p printed
			if err := command(t, s, &p, strings.Fields(tt.command)...); err != nil || !tt.held(p) {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}
