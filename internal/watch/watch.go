// Package watch follows something in the catalog, the KV store or an agent, and tells of
// each change (spec: cli.md section 4.2, agent.md section 4). It asks through the published
// client with blocking queries.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

// Query is what to follow.
type Query struct {
	Type        string // see Types
	Key         string // of type key
	Prefix      string // of type keyprefix
	Service     string // of types service, checks, connect_leaf
	ServiceID   string // of type agent_service
	Tags        []string
	PassingOnly bool
	State       string // of type checks
	Name        string // of type event; empty is any
	Filter      string
	Stale       bool
	Datacenter  string         // empty is the client's
	Token       logging.Secret // empty is the client's
}

// Types are the types of a Query.
var Types = []string{
	"key", "keyprefix", "services", "nodes", "service", "checks", "event", "connect_roots", "connect_leaf", "agent_service",
}

// Change is what is there now.
type Change struct {
	Index uint64 // of what has an index; 0 for agent_service
	Hash  string // of agent_service
	Value any    // as JSON has it; nil for a key that does not exist
}

// Validate reports what the query lacks, in the words that operators know.
func (q Query) Validate() error {
	need := func(value, what string) error {
		if value == "" {
			return fmt.Errorf("Must specify a single %s to watch", what)
		}
		return nil
	}
	switch q.Type {
	case "":
		return errors.New("Watch type must be specified")
	case "key":
		return need(q.Key, "key")
	case "keyprefix":
		return need(q.Prefix, "prefix")
	case "service", "connect_leaf":
		return need(q.Service, "service")
	case "agent_service":
		return need(q.ServiceID, "service ID")
	case "checks":
		if q.Service != "" && q.State != "" {
			return errors.New("Cannot specify service and state at the same time")
		}
		return nil
	case "services", "nodes", "event", "connect_roots":
		return nil
	}
	return fmt.Errorf("Unsupported watch type: %s", q.Type)
}

// Once returns what is there now.
func (q Query) Once(ctx context.Context, client *api.Client) (Change, error) {
	return q.ask(client, q.options(ctx))
}

const (
	firstWait = time.Second // after an error; doubled with each further one
	maxWait   = 3 * time.Minute
)

// Run calls handle with what is there, and again after each change of it, one call at a
// time, until ctx ends. It asks again after an error, which it logs.
func (q Query) Run(ctx context.Context, client *api.Client, log *slog.Logger, handle func(Change)) {
	var last Change
	seen, wait := false, firstWait
	for ctx.Err() == nil {
		o := q.options(ctx)
		o.WaitIndex, o.WaitHash = last.Index, last.Hash
		now, err := q.ask(client, o)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			log.Error("watch failed", "type", q.Type, "error", err, "retry", wait)
			last.Index, last.Hash = 0, ""
			sleep.For(ctx, wait/2+rand.N(wait/2))
			wait = min(2*wait, maxWait)
			continue
		}
		wait = firstWait
		if now.Index < last.Index {
			now.Index = 0 // the servers were restored: what is older counts again
		}
		if !seen || !reflect.DeepEqual(now.Value, last.Value) {
			handle(now)
		}
		last, seen = now, true
		if last.Index == 0 && last.Hash == "" {
			sleep.For(ctx, firstWait) // the next query will not block
		}
	}
}

func (q Query) options(ctx context.Context) *api.QueryOptions {
	o := &api.QueryOptions{AllowStale: q.Stale, Filter: q.Filter, Datacenter: q.Datacenter, Token: q.Token.Reveal()}
	return o.WithContext(ctx)
}

// ask asks the API, and waits for a change if o says since when.
func (q Query) ask(client *api.Client, o *api.QueryOptions) (Change, error) {
	value, meta, err := q.value(client, o)
	if err != nil {
		return Change{}, err
	}
	return Change{Index: meta.LastIndex, Hash: meta.LastContentHash, Value: value}, nil
}

func (q Query) value(client *api.Client, o *api.QueryOptions) (any, *api.QueryMeta, error) {
	switch q.Type {
	case "key":
		pair, meta, err := client.KV().Get(q.Key, o)
		if pair == nil {
			return nil, meta, err
		}
		return pair, meta, err
	case "keyprefix":
		return wrap(client.KV().List(q.Prefix, o))
	case "services":
		return wrap(client.Catalog().Services(o))
	case "nodes":
		return wrap(client.Catalog().Nodes(o))
	case "service":
		return wrap(client.Health().ServiceMultipleTags(q.Service, q.Tags, q.PassingOnly, o))
	case "checks":
		if q.Service != "" {
			return wrap(client.Health().Checks(q.Service, o))
		}
		state := q.State
		if state == "" {
			state = api.HealthAny
		}
		return wrap(client.Health().State(state, o))
	case "event":
		return q.events(client, o)
	case "connect_roots":
		return wrap(client.Agent().ConnectCARoots(o))
	case "connect_leaf":
		return wrap(client.Agent().ConnectCALeaf(q.Service, o))
	case "agent_service":
		return wrap(client.Agent().Service(q.ServiceID, o))
	}
	return nil, nil, fmt.Errorf("Unsupported watch type: %s", q.Type)
}

// wrap turns the typed answer of the client into one of any type.
func wrap[T any](value T, meta *api.QueryMeta, err error) (any, *api.QueryMeta, error) {
	return value, meta, err
}

// events returns those since the one that the index of the last answer is made from.
func (q Query) events(client *api.Client, o *api.QueryOptions) (any, *api.QueryMeta, error) {
	events, meta, err := client.Event().List(q.Name, o)
	for i, e := range events {
		if o.WaitIndex != 0 && client.Event().IDToIndex(e.ID) == o.WaitIndex {
			return events[i+1:], meta, err
		}
	}
	return events, meta, err
}

// Describe returns what the query follows, for a log.
func (q Query) Describe() string {
	words := []string{q.Type}
	for _, w := range []string{q.Key, q.Prefix, q.Service, q.ServiceID, q.State, q.Name} {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, " ")
}
