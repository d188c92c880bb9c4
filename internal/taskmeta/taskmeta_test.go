package taskmeta

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
)

const document = `{"Cluster":"prod","TaskARN":"arn:aws:ecs:us-west-2:123456789012:task/prod/abc","Family":"Shop",
"Containers":[{"Name":"app","DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Health":{"status":"HEALTHY","statusSince":"2026-01-01T00:00:00Z","exitCode":0},
"Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["10.0.3.17"]}]}],"AvailabilityZone":"us-west-2a","LaunchType":"EC2"}`

func TestTask(t *testing.T) {
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v4/id/task" {
			_, _ = w.Write([]byte(document))
		} else {
			_, _ = w.Write([]byte(`{"Name":"consul-client","Networks":[{"IPv4Addresses":["10.0.3.17"]}]}`))
		}
	}))
	defer ts.Close()
	c, err := FromEnv(func(string) string { return ts.URL + "/v4/id/" })
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.Task(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	region, _ := task.Region()
	account, _ := task.Account()
	cluster, _ := task.ClusterARN()
	for _, tc := range []struct{ what, got, want string }{
		{"id", task.ID(), "abc"},
		{"region", region, "us-west-2"},
		{"account", account, "123456789012"},
		{"cluster", cluster, "arn:aws:ecs:us-west-2:123456789012:cluster/prod"},
		{"address", task.NodeIP(), "10.0.3.17"},
		{"health", task.Container("app").Health.Status, Healthy},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %q, want %q", tc.what, tc.got, tc.want)
		}
	}
	if task.Container("envoy") != nil {
		t.Error("a container that has not started is there")
	}
	if own, err := c.Container(t.Context()); err != nil || own.Name != "consul-client" {
		t.Errorf("own container: %+v, %v", own, err)
	}
}

func TestARNs(t *testing.T) {
	tests := []struct{ name, cluster, arn, region, want string }{
		{"a cluster by its ARN", "arn:aws:ecs:r:1:cluster/c", "arn:aws:ecs:r:1:task/c/t", "r", "arn:aws:ecs:r:1:cluster/c"},
		{"a cluster by its name", "c", "arn:aws-cn:ecs:r:1:task/c/t", "r", "arn:aws-cn:ecs:r:1:cluster/c"},
		{"the short form of a task's ARN", "c", "arn:aws:ecs:r:1:task/t", "r", "arn:aws:ecs:r:1:cluster/c"},
		{"no ARN at all", "c", "t", "", ""},
		{"no region", "c", "arn:aws:ecs::1:task/c/t", "", "arn:aws:ecs::1:cluster/c"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			task := Task{Cluster: tc.cluster, TaskARN: tc.arn}
			region, err := task.Region()
			if region != tc.region || (err == nil) != (tc.region != "") {
				t.Errorf("region %q, %v", region, err)
			}
			if got, err := task.ClusterARN(); got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("cluster %q, %v", got, err)
			}
		})
	}
	if ip := (&Task{}).NodeIP(); ip != "127.0.0.1" {
		t.Errorf("address without networks: %s", ip)
	}
}

func TestAnEndpointThatFails(t *testing.T) {
	if _, err := FromEnv(func(string) string { return "" }); err == nil || err.Error() != "ECS_CONTAINER_METADATA_URI_V4 env var not set" {
		t.Errorf("no endpoint: %v", err)
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"an error", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, "calling metadata uri: status 500"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{")) }, "unmarshalling metadata uri response: "},
		{"a cut body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("{"))
		}, "reading metadata uri response body: "},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			ts := httptest.NewServer(tc.answer)
			defer ts.Close()
			_, err := (&Client{URI: ts.URL}).Task(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) || errs.KindOf(err) != errs.Unavailable {
				t.Errorf("got %v", err)
			}
		})
	}
}
