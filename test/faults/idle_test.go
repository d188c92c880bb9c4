package faults

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/test/cluster"
)

// idleTime is for how long an idle cluster has to write nothing.
func idleTime() time.Duration {
	if long {
		return time.Minute
	}
	return 10 * time.Second
}

// TestAnIdleClusterWritesNothing lets three servers and two client agents, with services whose checks run
// each second and pass, do nothing for a while: no server's log gets longer.
func TestAnIdleClusterWritesNothing(t *testing.T) {
	c := startPatient(t, 2)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, time.Now()) // another output alone is told later (check_update_interval)
	}))
	defer web.Close()
	ctx := t.Context()
	for _, a := range c.Clients {
		agent := newCaller(a.HTTP, patience)
		defer agent.close()
		for _, name := range []string{"web", "api"} {
			must(t, agent.do(ctx, http.MethodPut, "/v1/agent/service/register", map[string]any{
				"Name": name, "Port": 80, "Checks": []any{
					map[string]any{"Name": "alive", "CheckID": name + "-alive", "HTTP": web.URL, "Interval": "1s"},
					map[string]any{"Name": "port", "CheckID": name + "-port", "TCP": web.Listener.Addr().String(), "Interval": "1s"},
					map[string]any{"Name": "word", "CheckID": name + "-word", "TTL": "1h", "Status": "passing"},
				},
			}, nil))
		}
		allPass(ctx, t, agent, a.Name, 7)
	}
	for attempt := 1; ; attempt++ {
		events, before := eventsOf(c), settled(ctx, t, c)
		<-time.After(idleTime())
		after := lastIndexes(ctx, t, c)
		switch {
		case after == before:
			return
		case attempt < attempts && eventsOf(c) != events:
			t.Log("the machine is so busy that there was an election, or a member was taken for dead: not idle, once more")
		default:
			t.Fatalf("in %v without a change the logs of the servers went from %v to %v", idleTime(), before, after)
		}
	}
}

// eventsOf counts the elections, and what servers have heard of members.
func eventsOf(c *cluster.Cluster) (events int) {
	for _, times := range c.Elections() {
		events += times
	}
	for _, s := range c.Servers {
		events += strings.Count(s.Log(), "EventMember")
	}
	return events
}

// attempts bounds how often a cluster that was not idle gets another minute.
const attempts = 5

// settled waits until the logs of the servers stay as they are, and returns their last entries.
func settled(ctx context.Context, t *testing.T, c *cluster.Cluster) [3]string {
	t.Helper()
	before := lastIndexes(ctx, t, c)
	for calm := 0; calm < 2; calm++ {
		<-time.After(time.Second)
		if now := lastIndexes(ctx, t, c); now != before {
			before, calm = now, 0
		}
	}
	return before
}

// patience is how long a request may take that waits for something.
const patience = 40 * time.Second

// allPass waits until a node has a number of checks that all pass.
func allPass(ctx context.Context, t *testing.T, agent *caller, node string, checks int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	index := "0"
	for time.Now().Before(deadline) {
		var list []struct{ Status string }
		var err error
		index, err = agent.block(ctx, "/v1/health/node/"+node+"?wait=5s&index="+index, &list)
		must(t, err)
		passing := 0
		for _, check := range list {
			if check.Status == "passing" {
				passing++
			}
		}
		if passing == checks && len(list) == checks {
			return
		}
	}
	t.Fatalf("the checks of %s do not pass", node)
}

// lastIndexes returns the last entries of the servers' logs.
func lastIndexes(ctx context.Context, t *testing.T, c *cluster.Cluster) (last [3]string) {
	t.Helper()
	for i, s := range c.Servers {
		server := newCaller(s.HTTP, patience)
		var self struct{ Stats map[string]map[string]string }
		must(t, server.do(ctx, http.MethodGet, "/v1/agent/self", nil, &self))
		server.close()
		if last[i] = self.Stats["raft"]["last_log_index"]; last[i] == "" {
			t.Fatalf("%s does not say how long its log is: %v", s.Name, self.Stats["raft"])
		}
	}
	return last
}
