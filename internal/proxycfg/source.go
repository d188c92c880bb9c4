package proxycfg

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// gather is how long changes are gathered before a snapshot is built of them.
const gather = 20 * time.Millisecond

// ErrNoSidecar is the error for an instance that is no sidecar proxy.
var ErrNoSidecar = errs.New(errs.Invalid, "not the ID of a sidecar proxy: gateways and services get no configuration here")

// Services are the instances that are registered with this agent.
type Services interface {
	// Service returns an instance. Its error has the kind errs.NotFound if there is none.
	Service(who acl.Caller, in tenancy.Scope, id string) (catalog.Service, error)
	// Changed returns a channel that is closed after the next change.
	Changed() <-chan struct{}
}

// Source is where snapshots come from. All fields have to be set.
type Source struct {
	Services     Services
	Client       *api.Client // of this agent; its requests carry the token of a proxy, or none
	Datacenter   string
	DefaultAllow bool // what decides where no intention does, and servers do not say what does
	Log          *slog.Logger
}

// Proxy names a proxy, and says with whose rights it reads.
type Proxy struct {
	ID    string
	Scope tenancy.Scope
	Token logging.Secret
}

// Follow calls tell with a snapshot of p as soon as there is all that one needs, and after each change. While p is not
// registered it waits. Nothing is read for p before authorize has agreed to its registration, and to each change
// of that; its error ends Follow, as does ErrNoSidecar. Without one Follow returns nil when ctx is done. Both
// functions are called by one goroutine at a time, and no goroutine outlives Follow.
func (s *Source) Follow(ctx context.Context, p Proxy, authorize func(catalog.Service) error, tell func(*Snapshot)) error {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{Source: s, proxy: p, events: make(chan func()), upstreams: map[upstreamKey]*upstreamState{}, defaults: map[tenancy.Scope]*defaultsState{}}
	defer f.readers.Wait()
	defer cancel()
	due := time.NewTimer(gather)
	due.Stop()
	defer due.Stop()
	for {
		changed := s.Services.Changed()
		other, err := f.register(ctx, authorize)
		if err != nil {
			return err
		}
		if other {
			f.later(due)
		}
		for again := false; !again; {
			select {
			case <-changed:
				again = true
			case apply := <-f.events:
				apply()
				f.later(due)
			case <-due.C:
				f.waiting = false
				if snapshot := f.snapshot(); snapshot != nil {
					tell(snapshot)
				}
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// follower follows one proxy. All but readers and events belongs to the goroutine of Follow.
type follower struct {
	*Source
	proxy   Proxy
	readers sync.WaitGroup
	events  chan func() // what a reader has learned
	waiting bool        // a snapshot is due

	registered *catalog.Service // nil while it is not
	known      facts
	forget     context.CancelFunc // ends what is read for the destination; nil while nothing is
	upstreams  map[upstreamKey]*upstreamState
	defaults   map[tenancy.Scope]*defaultsState
}

// later makes a snapshot due soon.
func (f *follower) later(due *time.Timer) {
	if !f.waiting {
		f.waiting = true
		due.Reset(gather)
	}
}

// register looks at the registration, and begins and ends readers as it says. It reports whether
// that has changed.
func (f *follower) register(ctx context.Context, authorize func(catalog.Service) error) (bool, error) {
	now, err := f.Services.Service(acl.Caller{Authorizer: acl.AllowAll()}, f.proxy.Scope, f.proxy.ID)
	if errs.KindOf(err) == errs.NotFound {
		f.registered = nil
		f.leave()
		return false, nil
	}
	if err != nil {
		return false, err
	}
	old := f.registered
	if old != nil && reflect.DeepEqual(old, &now) {
		return false, nil
	}
	if now.Kind != catalog.KindConnectProxy || now.Proxy.DestinationServiceName == "" {
		return false, ErrNoSidecar
	}
	if err := authorize(now); err != nil {
		return false, err
	}
	if old == nil || old.Proxy.DestinationServiceName != now.Proxy.DestinationServiceName {
		f.leave()
		f.enter(ctx, &now)
	}
	f.registered = &now
	f.reconcile(ctx)
	return true, nil
}

// leave ends everything that is read.
func (f *follower) leave() {
	if f.forget != nil {
		f.forget()
		f.forget = nil
	}
	for key, u := range f.upstreams {
		u.end()
		delete(f.upstreams, key)
	}
	for scope, d := range f.defaults {
		d.end()
		delete(f.defaults, scope)
	}
	f.known = facts{}
}
