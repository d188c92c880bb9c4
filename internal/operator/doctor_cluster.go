package operator

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// Offsets of clocks. AWS refuses signatures that are five minutes off, some services fifteen.
const (
	clockWarning = time.Minute
	clockError   = 4 * time.Minute
)

// checkServers asks for the leader, which needs no token.
func (d *doctor) checkServers(ctx context.Context, f *findings) {
	if d.servers == nil {
		return
	}
	leader, err := d.servers.client.Status().LeaderWithQueryOptions(reading(ctx))
	if err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "%s: %s", d.servers.url, what)
		return
	}
	d.servers.up = true
	if leader == "" {
		f.fail("look at the log of the servers: more than half of them have to reach each other", "%s answers, and there is no leader", d.servers.url)
		return
	}
	f.ok("%s answers; the leader is %s", d.servers.url, leader)
	if d.servers.url.Scheme == "http" && !d.local(d.servers) {
		f.warn("use https://, port 8501", "%s: tokens pass the network in the clear", d.servers.url)
	}
	d.checkToken(ctx, f)
}

// serversDown skips a check if the servers do not answer, which another check has said.
func (d *doctor) serversDown(f *findings) bool {
	down := d.servers == nil || !d.servers.up
	if down {
		f.skip("the servers do not answer")
	}
	return down
}

func (d *doctor) local(e *endpoint) bool {
	host := e.url.Hostname()
	return host == "localhost" || host == "::1" || strings.HasPrefix(host, "127.")
}

// checkToken says what the token is, by its accessor.
func (d *doctor) checkToken(ctx context.Context, f *findings) {
	if d.servers.token == "" {
		f.skip("no token: what needs one is skipped")
		return
	}
	token, _, err := d.servers.client.ACL().TokenReadSelf(reading(ctx))
	switch {
	case aclsOff(err):
		f.skip("ACLs are off")
	case err != nil:
		what, remedy := explain(err)
		f.fail(remedy, "the token: %s", what)
	case token.ExpirationTime != nil && token.ExpirationTime.Before(d.now()):
		f.fail("log in again", "token %s has expired at %s", token.AccessorID, token.ExpirationTime.Format(time.RFC3339))
	default:
		f.ok("token %s, %s", token.AccessorID, orNone(token.Description, "no description"))
	}
}

func orNone(s, none string) string {
	if s == "" {
		return none
	}
	return s
}

// checkAgent looks at the agent, and at how the cluster sees it.
func (d *doctor) checkAgent(ctx context.Context, f *findings) {
	if d.agent == nil {
		f.skip("no agent to look at: give one with -agent-addr")
		return
	}
	leader, err := d.agent.client.Status().LeaderWithQueryOptions(reading(ctx))
	switch {
	case err != nil:
		what, remedy := explain(err)
		f.fail(remedy, "%s: %s", d.agent.url, what)
		return
	case leader == "":
		f.fail("look at the agent's log: retry_join, the gossip key, and the CA have to be the servers'", "%s answers, and knows no leader", d.agent.url)
		return
	}
	f.ok("%s answers and knows the leader", d.agent.url)
	name := ""
	var self struct{ Config struct{ NodeName string } }
	if _, err := d.agent.call(ctx, http.MethodGet, "/v1/agent/self", nil, nil, &self); err == nil {
		name = self.Config.NodeName
	} else if d.task != nil {
		name = d.task.ID()
	}
	d.checkMembers(ctx, f, name)
	d.checkNode(ctx, f, name)
}

// Statuses of members that matter here (of serf).
const (
	memberAlive  = 1
	memberFailed = 4
)

func (d *doctor) checkMembers(ctx context.Context, f *findings, name string) {
	var members []api.AgentMember
	_, err := d.agent.call(ctx, http.MethodGet, "/v1/agent/members", nil, nil, &members)
	if denied(err) || err == nil && len(members) == 0 {
		f.skip("members: the token may not see them")
		return
	}
	if err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "members: %s", what)
		return
	}
	var failed []string
	for _, m := range members {
		switch {
		case m.Name == name && m.Status != memberAlive:
			f.fail("look at the agent's log, and at port 8301, TCP and UDP, in security groups", "the agent %s is not an alive member", name)
		case m.Status == memberFailed:
			failed = append(failed, m.Name)
		}
	}
	if len(failed) > 0 {
		f.warn("look at them; consul force-leave removes those that will not come back", "%s failed, of %d: %s", plural(len(failed), "member"), len(members), some(failed))
		return
	}
	f.ok("%s, none of them failed", plural(len(members), "member"))
}

// plural counts things.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// some are the first of a list.
func some(list []string) string {
	const most = 5
	if len(list) > most {
		return strings.Join(list[:most], ", ") + ", …"
	}
	return strings.Join(list, ", ")
}

func (d *doctor) checkNode(ctx context.Context, f *findings, name string) {
	if name == "" {
		return
	}
	checks, _, err := d.agent.client.Health().Node(name, reading(ctx))
	if err != nil || len(checks) == 0 {
		f.skip("node %s: it is not in the catalog, or the token may not see it", name)
		return
	}
	for _, c := range checks {
		switch c.Status {
		case api.HealthCritical:
			f.fail("look at what the check says: /v1/health/node/"+name, "check %q of node %s is critical", c.Name, name)
		case api.HealthWarning:
			f.warn("look at what the check says: /v1/health/node/"+name, "check %q of node %s is in warning", c.Name, name)
		}
	}
	f.ok("node %s is in the catalog with %s", name, plural(len(checks), "check"))
}

func (d *doctor) checkAutopilot(ctx context.Context, f *findings) {
	if d.serversDown(f) {
		return
	}
	health, err := d.servers.client.Operator().AutopilotServerHealth(reading(ctx))
	switch {
	case denied(err):
		f.skip("the token may not see it: operator:read")
		return
	case err != nil:
		what, remedy := explain(err)
		f.fail(remedy, "%s", what)
		return
	}
	var sick []string
	for _, s := range health.Servers {
		if !s.Healthy {
			sick = append(sick, s.Name)
		}
	}
	switch {
	case !health.Healthy:
		f.fail("look at the log of these servers; consul operator autopilot state says more", "not all servers are healthy: %s", orNone(some(sick), "none is named"))
	case health.FailureTolerance == 0:
		f.warn("run three or five servers", "%s, healthy, of which none may fail", plural(len(health.Servers), "server"))
	default:
		f.ok("%s, healthy, of which %d may fail", plural(len(health.Servers), "server"), health.FailureTolerance)
	}
}

// checkClock compares with the servers and with STS, which earlier checks have asked.
func (d *doctor) checkClock(_ context.Context, f *findings) {
	compare := func(who string, c *clocks) {
		ahead, known := c.ahead()
		if !known {
			f.skip("%s did not say what time it is", who)
			return
		}
		way, off := "ahead of", ahead
		if ahead < 0 {
			way, off = "behind", -ahead
		}
		off = off.Round(time.Second)
		const remedy = "set the clock; let chrony or the Amazon Time Sync Service keep it"
		switch {
		case off >= clockError:
			f.fail(remedy, "the clock here is %s %s that of %s", off, way, who)
		case off >= clockWarning:
			f.warn(remedy, "the clock here is %s %s that of %s", off, way, who)
		default:
			f.ok("the clock here is that of %s", who)
		}
	}
	if d.servers != nil {
		compare("the servers", d.servers.clocks)
	}
	if d.aws != nil {
		compare("AWS", d.aws.clocks)
	}
}
