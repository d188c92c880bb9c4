package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/lictor/lictor/test/xdsreader"
)

// auditStanza is the documents', as it is written.
const auditStanza = `
audit {
  enabled = true
  sink "stdout" {
    type   = "file"
    format = "json"
    path   = "/dev/stdout"
    delivery_guarantee = "best-effort"
  }
}
`

// auditedCluster is a server and a client agent, each with a trail.
func auditedCluster(t *testing.T) *cluster {
	t.Helper()
	c := prepareCluster(t, 1, 1)
	c.servers[0].configure(auditStanza)
	c.start(c.servers...)
	c.awaitLeader()
	task := c.agents[0]
	c.writeAgent(task, c.agentToken(task), "")
	task.configure(auditStanza)
	c.start(task)
	if err := task.answers(); err != nil {
		t.Fatal(err)
	}
	return c
}

// trail ends the agent of a host and returns the events that it has printed.
func (h *host) trail(t *testing.T) []auditEvent {
	t.Helper()
	if code, err := h.running().signal("INT"); err != nil {
		t.Fatal(code, err)
	}
	events, err := auditEvents(h.running().log())
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// TestForwardedRequestsAreAttributedOnce sends requests to a client agent, which passes most of them on. Its
// trail has all of them. The server's has those that reached it, marked with who has passed them on, and otherwise alike.
func TestForwardedRequestsAreAttributedOnce(t *testing.T) {
	c := auditedCluster(t)
	task, server := c.agents[0], c.servers[0]
	load := &auditLoad{checker: newChecker(), token: c.management}
	requests := 60
	if os.Getenv("LICTOR_LONG") != "" {
		requests = 3000
	}
	var working sync.WaitGroup
	for range 8 {
		working.Go(func() {
			for i := range requests {
				if err := load.request(task.client, "http://"+task.http, i); err != nil {
					t.Errorf("request: %v", err)
					return
				}
			}
		})
	}
	working.Wait()
	events := task.trail(t)
	if err := load.check(events, false); err != nil {
		t.Error(err)
	}
	asked, _ := pairsOf(events)
	passed, wrong := pairsOf(server.trail(t))
	for _, err := range wrong {
		t.Error(err)
	}
	for name, p := range passed {
		at := asked[name]
		if at == nil || len(p.start) != 1 || len(p.complete) != 1 {
			t.Errorf("%s: %+v", name, p)
			continue
		}
		want, got := at.complete[0].Payload, p.complete[0].Payload
		if want.Request.ForwardedBy != "" || got.Request.ForwardedBy != task.name {
			t.Errorf("%s: forwarded by %q on the agent, %q on the server", name, want.Request.ForwardedBy, got.Request.ForwardedBy)
		}
		got.Request.ForwardedBy, got.ID, want.ID = "", "", ""
		got.Request.RemoteAddr, want.Request.RemoteAddr = hostOf(got.Request.RemoteAddr), hostOf(want.Request.RemoteAddr) // the port stays behind
		if got != want {
			t.Errorf("%s: the agent says %+v, the server %+v", name, want, got)
		}
	}
	if len(passed) < len(load.sent)/2 {
		t.Errorf("of %d requests only %d reached the server", len(load.sent), len(passed))
	}
	t.Logf("%d requests, %d of them passed on", len(load.sent), len(passed))
}

func hostOf(addr string) string {
	host, _, _ := net.SplitHostPort(addr)
	return host
}

// TestStreamsOfProxiesAreInTheTrail opens streams of xDS at a client agent: one that its proxy ends, one that is refused,
// one whose token is deleted, and a call that there is not.
func TestStreamsOfProxiesAreInTheTrail(t *testing.T) {
	c := auditedCluster(t)
	task := c.agents[0]
	client := task.api()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(client.Agent().ServiceRegister(&api.AgentServiceRegistration{
		Name: "web", Port: 8080, Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{Port: 21000}},
	}))
	token := func(service string) *api.ACLToken {
		made, _, err := client.ACL().TokenCreate(&api.ACLToken{ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: service}}}, nil)
		must(err)
		return made
	}
	mine, other, revoked := token("web"), token("other"), token("web")
	dial := func(ctx context.Context, addr string) (net.Conn, error) { return task.dial(ctx, "tcp", addr) }
	conn, err := grpc.NewClient("passthrough:///"+net.JoinHostPort(c.network.local(task.number), "8502"),
		grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer conn.Close()
	open := func(ctx context.Context, token string) *xdsreader.Reader {
		r, err := xdsreader.Open(ctx, conn, xdsreader.Proxy{ID: "web-sidecar-proxy", Token: token})
		must(err)
		return r
	}
	configured := func(s xdsreader.State) bool { return len(s.Listeners) > 0 }
	waiting, enough := context.WithTimeout(t.Context(), patience)
	defer enough()
	ends := func(r *xdsreader.Reader, want codes.Code) {
		t.Helper()
		if err := r.Ended(waiting); status.Code(err) != want {
			t.Errorf("ended with %v, want %v", err, want)
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	first := open(ctx, mine.SecretID)
	_, err = first.Wait(waiting, configured)
	must(err)
	leave()
	ends(first, codes.Canceled)
	ends(open(t.Context(), other.SecretID), codes.PermissionDenied)
	last := open(t.Context(), revoked.SecretID)
	_, err = last.Wait(waiting, configured)
	must(err)
	_, err = client.ACL().TokenDelete(revoked.AccessorID, nil)
	must(err)
	ends(last, codes.Unauthenticated)
	if err := conn.Invoke(t.Context(), "/no.Such/Call", &emptypb.Empty{}, &emptypb.Empty{}); err == nil {
		t.Error("a call that there is not has an answer")
	}
	count := map[string]int{}
	for _, e := range task.trail(t) {
		if p := e.Payload; p.Request.Action == "xds.stream" || strings.HasPrefix(p.Request.Endpoint, "/no.") {
			count[fmt.Sprintln(p.Stage, filepath.Base(p.Request.Endpoint), p.Auth.AccessorID, p.Response.Status, p.Request.Body.Proxy)]++
		}
	}
	for _, accessor := range []struct{ id, status string }{{mine.AccessorID, "200"}, {other.AccessorID, "403"}, {revoked.AccessorID, "403"}} {
		for _, want := range []string{
			fmt.Sprintln("OperationStart DeltaAggregatedResources", accessor.id, "", ""),
			fmt.Sprintln("OperationComplete DeltaAggregatedResources", accessor.id, accessor.status, "web-sidecar-proxy"),
		} {
			if count[want] != 1 {
				t.Errorf("%q is there %d times: %v", want, count[want], count)
			}
		}
	}
	if want := fmt.Sprintln("OperationComplete Call", anonymous, http.StatusNotFound, ""); count[want] != 1 {
		t.Errorf("%q is there %d times: %v", want, count[want], count)
	}
}
