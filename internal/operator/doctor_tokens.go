package operator

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
)

const (
	tokenPage    = "1000"
	maxTokens    = 200_000 // that are looked at
	loginPrefix  = "token created via login: "
	expiredGrace = 5 * time.Minute // in which the leader removes what has expired
)

// taskID is the id of a task, now and as it once was.
var taskID = regexp.MustCompile(`[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// checkTokens looks for tokens of logins that nothing will end: those of tasks that are gone, and those that
// have expired and are still there.
func (d *doctor) checkTokens(ctx context.Context, f *findings) {
	if d.serversDown(f) {
		return
	}
	if d.servers.token == "" {
		f.skip("the list needs a token with acl:read")
		return
	}
	running, complete, err := d.runningTasks(ctx)
	if err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "tasks in the catalog: %s", what)
		return
	}
	var logins, stale, expired int
	first := ""
	seen, err := d.eachToken(ctx, func(t *api.ACLTokenListEntry) {
		task, ok := loginTask(t)
		if !ok {
			return
		}
		logins++
		switch {
		case t.ExpirationTime != nil && d.now().Sub(*t.ExpirationTime) > expiredGrace:
			expired++
		case t.ExpirationTime == nil && task != "" && !running[task] && d.now().Sub(t.CreateTime) > d.goneFor:
			stale++
			first = orNone(first, t.AccessorID)
		}
	})
	switch {
	case denied(err), aclsOff(err):
		f.skip("the list needs a token with acl:read")
		return
	case err != nil:
		what, remedy := explain(err)
		f.fail(remedy, "the list: %s", what)
		return
	}
	if expired > 0 {
		f.warn("look at the log of the leader, which removes them", "%s expired and still there", plural(expired, "token"))
	}
	switch {
	case !complete:
		f.skip("tokens of tasks that are gone: the token may not see all nodes and services")
	case stale > 0:
		f.warn("run consul-ecs acl-controller, or let tokens end with token_ttl of lictor setup; consul acl token delete -accessor-id "+first+" removes the first",
			"%s without an end whose task is gone", plural(stale, "token"))
	}
	f.ok("%s, of which logins made %d", plural(seen, "token"), logins)
}

// loginTask returns the task that the token of a login is for, "" if it does not say; and false
// for other tokens.
func loginTask(t *api.ACLTokenListEntry) (string, bool) {
	text, ok := strings.CutPrefix(t.Description, loginPrefix)
	if !ok {
		return "", t.AuthMethod != ""
	}
	var meta map[string]string
	if json.Unmarshal([]byte(text), &meta) != nil {
		return "", true
	}
	return meta[aclsetup.MetaTask], true
}

// runningTasks are the ids of tasks that the catalog knows, from the names of nodes and the ids of
// services in all namespaces. complete is false if the token may not see all of them.
func (d *doctor) runningTasks(ctx context.Context) (ids map[string]bool, complete bool, err error) {
	spaces, seen, err := d.servers.client.Namespaces().List(d.inPartition(ctx))
	switch {
	case denied(err):
		return nil, false, nil
	case aclsetup.IsMissing(err): // servers without namespaces
		spaces = []*api.Namespace{{}}
	case err != nil:
		return nil, false, err
	}
	ids, complete = map[string]bool{}, seen == nil || !seen.ResultsFilteredByACLs
	for _, space := range spaces {
		opts := d.inPartition(ctx)
		opts.Namespace = space.Name
		checks, meta, err := d.servers.client.Health().State(api.HealthAny, opts)
		if denied(err) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		complete = complete && !meta.ResultsFilteredByACLs
		for _, c := range checks {
			for _, text := range []string{c.Node, c.ServiceID} {
				for _, id := range taskID.FindAllString(text, -1) {
					ids[id] = true
				}
			}
		}
	}
	return ids, complete, nil
}

// eachToken calls see for each token of the partition, page by page where the servers have
// pages, and returns how many there were.
func (d *doctor) eachToken(ctx context.Context, see func(*api.ACLTokenListEntry)) (int, error) {
	query := url.Values{"limit": {tokenPage}, "ns": {"*"}}
	if d.partition != "" {
		query.Set("partition", d.partition)
	}
	for seen := 0; ; {
		var page []*api.ACLTokenListEntry
		header, err := d.servers.call(ctx, http.MethodGet, "/v1/acl/tokens", query, nil, &page)
		if err != nil {
			return seen, err
		}
		for _, t := range page {
			see(t)
		}
		seen += len(page)
		next := header.Get("X-Lictor-Next-Page")
		if next == "" || len(page) == 0 || seen >= maxTokens {
			return seen, nil
		}
		query.Set("after", next)
	}
}
