package ecs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/errs"
)

const clusterARN = "arn:aws:ecs:us-west-2:123456789012:cluster/prod"

// fakeECS lists tasks page by page, as ECS does.
func fakeECS(t *testing.T, pages [][]string, tags map[string]map[string]string) *ecsAPI {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") ||
			!strings.Contains(r.Header.Get("Authorization"), "/us-west-2/ecs/aws4_request") {
			t.Errorf("signed as %q", r.Header.Get("Authorization"))
		}
		var in struct {
			Cluster, NextToken string
			Tasks              []string
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Cluster != clusterARN {
			t.Errorf("asked for %+v, %v", in, err)
		}
		var out any
		switch r.Header.Get("X-Amz-Target") {
		case "AmazonEC2ContainerServiceV20141113.ListTasks":
			n := len(in.NextToken) // the token of page n has n letters
			page := map[string]any{"taskArns": pages[n]}
			if n+1 < len(pages) {
				page["nextToken"] = strings.Repeat("x", n+1)
			}
			out = page
		case "AmazonEC2ContainerServiceV20141113.DescribeTasks":
			var list []any
			for _, arn := range in.Tasks {
				var all []any
				for key, value := range tags[arn] {
					all = append(all, map[string]string{"key": key, "value": value})
				}
				list = append(list, map[string]any{"taskArn": arn, "tags": all})
			}
			out = map[string]any{"tasks": list}
		}
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(ts.Close)
	e, err := newECSAPI(t.Context(), func(name string) string { return map[string]string{"AWS_ENDPOINT_URL_ECS": ts.URL}[name] }, "us-west-2", clusterARN)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTasksOfTheMesh(t *testing.T) {
	arn := func(id string) string { return "arn:aws:ecs:us-west-2:123456789012:task/prod/" + id }
	mesh := map[string]string{ecsconfig.TagMesh: "true"}
	e := fakeECS(t, [][]string{{arn("a"), arn("b")}, {}, {arn("c"), arn("d")}}, map[string]map[string]string{
		arn("a"): mesh, arn("b"): {"other": "true"}, arn("c"): {ecsconfig.TagMesh: "true", ecsconfig.TagPartition: "p", ecsconfig.TagNamespace: "n"}, arn("d"): {ecsconfig.TagMesh: "false"},
	})
	got, err := e.meshTasks(t.Context())
	if err != nil || !slices.Equal(got, []meshTask{{id: "a"}, {id: "c", partition: "p", namespace: "n"}}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestErrorsOfECS(t *testing.T) {
	tests := []struct {
		name, body string
		kind       errs.Kind
	}{
		{"throttled", `{"__type":"ThrottlingException","message":"Rate exceeded"}`, errs.Throttled},
		{"denied", `{"__type":"AccessDeniedException","message":"no"}`, errs.Denied},
		{"anything else", `<html>`, errs.Unavailable},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if err := awsError("ListTasks", "400 Bad Request", []byte(tc.body)); errs.KindOf(err) != tc.kind {
				t.Errorf("%v is of kind %v", err, errs.KindOf(err))
			}
		})
	}
}

// runningTasks is a taskLister that knows.
type runningTasks []string

func (r runningTasks) meshTasks(ctx context.Context) ([]meshTask, error) {
	var list []meshTask
	for _, id := range r {
		list = append(list, meshTask{id: id})
	}
	return list, ctx.Err()
}

func TestTokensOfTasksThatAreGoneAreDeleted(t *testing.T) {
	w := newWorld(t)
	described := func(accessor, task, cluster string) map[string]any {
		return map[string]any{"AccessorID": accessor, "Description": fmt.Sprintf(
			`token created via login: {"consul.hashicorp.com/cluster":%q,"consul.hashicorp.com/task-id":%q}`, cluster, task)}
	}
	w.answer = func(r *http.Request, _ string) (int, any) {
		if r.Method == http.MethodGet {
			return 200, []any{
				described("runs", "t1", clusterARN), described("gone", "t2", clusterARN), described("gone too", "t3", clusterARN),
				described("elsewhere", "t2", "arn:aws:ecs:us-west-2:123456789012:cluster/other"), described("nobody's", "", clusterARN),
				map[string]any{"AccessorID": "plain", "Description": "made by hand"},
				map[string]any{"AccessorID": "odd", "Description": "token created via login: {"},
			}
		}
		if strings.HasSuffix(r.URL.Path, "gone too") {
			return 500, "No cluster leader"
		}
		return 200, true
	}
	consul, err := newClient(api.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	c := &controller{inTask: inTask{log: w.logger()}, consul: consul, tasks: runningTasks{"t1"}, clusterARN: clusterARN}
	err = c.reconcile(t.Context())
	if err == nil || !strings.Contains(err.Error(), "deleting token gone too") {
		t.Errorf("got %v", err)
	}
	want := []string{"DELETE /v1/acl/token/gone  ", "DELETE /v1/acl/token/gone too  "}
	if got := w.asked()[1:]; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestFlagsOfTheController(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct{ args, want string }{
		{"-partition x", "partition flag provided without partitions-enabled flag"},
		{"-log-level nope", "Invalid log level"},
		{"more", "unexpected argument: more"},
		{"-nope", "flag provided but not defined"},
	} {
		w.log = &safeBuffer{}
		code := Run(t.Context(), w.env("", nil), append([]string{"acl-controller"}, strings.Fields(tc.args)...))
		if code != 1 || !strings.Contains(w.log.String(), tc.want) {
			t.Errorf("%s: exit code %d, %s", tc.args, code, w.log)
		}
	}
}

func TestWhatTheControllerMakes(t *testing.T) {
	for name, c := range map[string]controller{
		"plain":     {clusterARN: clusterARN, accountID: "123456789012"},
		"partition": {clusterARN: clusterARN, accountID: "123456789012", rolePath: "consul-ecs", partition: "team-a"},
	} {
		got, err := json.MarshalIndent(c.resources(), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "controller_"+name+".json", append(got, '\n'))
	}
}
