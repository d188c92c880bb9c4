package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
)

const (
	rootsWait  = 5 * time.Minute // of one blocking query
	rootsSlack = 30 * time.Second
	maxWait    = 10 * time.Minute // of whoever asks this agent
	firstWait  = 7 * time.Second  // of whoever does not ask to wait, before anything was heard
)

// Roots keeps the roots of the mesh CA as servers have them, by blocking
// queries. Servers and Log have to be set before Run.
type Roots struct {
	Servers Servers
	Log     *slog.Logger

	mu      sync.Mutex // guards what follows
	list    endpoint.CARootList
	index   uint64        // of list, as servers count; 0 is nothing heard yet
	changed chan struct{} // closed at the next change; may be nil
	refused chan struct{} // of capacity 1; may be nil
}

// Run follows the roots until ctx is done.
func (r *Roots) Run(ctx context.Context) error {
	pause := backOff{first: 100 * time.Millisecond, last: 10 * time.Second}
	for ctx.Err() == nil {
		if err := r.follow(ctx); err != nil {
			if ctx.Err() == nil {
				r.Log.Debug("roots of the mesh CA could not be asked for", "error", err)
			}
			pause.wait(ctx)
			continue
		}
		pause.reset()
	}
	return nil
}

// follow asks one server after the other once, until one answers.
func (r *Roots) follow(ctx context.Context) error {
	err := errNoServers
	for _, addr := range r.Servers.Addrs() {
		if err = r.followAt(ctx, addr); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (r *Roots) followAt(ctx context.Context, addr string) error {
	r.mu.Lock()
	index := r.index
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, rootsWait+rootsWait/16+rootsSlack)
	defer cancel()
	path := fmt.Sprintf("/v1/connect/ca/roots?index=%d&wait=%s", index, rootsWait)
	var list endpoint.CARootList
	header, err := call(ctx, r.Servers.Client, addr, http.MethodGet, path, nil, nil, &list)
	if err != nil {
		r.noteRefusal(err)
		return err
	}
	if index, err = strconv.ParseUint(header.Get("X-Consul-Index"), 10, 64); err != nil || index == 0 {
		return errors.New("an answer without X-Consul-Index")
	}
	r.set(list, index)
	return nil
}

// set takes over what a server has said at an index, 1 for one that is not known.
func (r *Roots) set(list endpoint.CARootList, index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	same := r.index > 0 && sameRoots(list, r.list)
	if !same || index > 1 {
		r.list, r.index = list, index
	}
	if same {
		return
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// noteRefusal tells whoever waits that a server refused this agent's
// certificate: the TLS alert of the other side is the error (RFC 8446 section 6).
func (r *Roots) noteRefusal(err error) {
	var alert *net.OpError
	if !errors.As(err, &alert) || alert.Op != "remote error" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case r.refused <- struct{}{}:
	default: // nobody waits, or they know
	}
}

// refusals returns the channel that tells of a refusal.
func (r *Roots) refusals() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refused == nil {
		r.refused = make(chan struct{}, 1)
	}
	return r.refused
}

// current returns what was heard last and a channel that is closed at the next
// change.
func (r *Roots) current() (endpoint.CARootList, uint64, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.list, r.index, r.changed
}

// List answers like endpoint.CARoots, from what was heard last. It returns
// errs.Unavailable if no server has told anything yet.
func (r *Roots) List(ctx context.Context, _ acl.Caller, read endpoint.Read) (endpoint.CARootList, endpoint.Meta, error) {
	wait := min(cmp.Or(read.MaxWait, rootsWait), maxWait)
	if read.MinIndex == 0 {
		wait = firstWait
	}
	ends, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		list, index, changed := r.current()
		if index > read.MinIndex || index > 0 && ends.Err() != nil {
			return list, endpoint.Meta{Index: index, KnownLeader: true}, nil
		}
		select {
		case <-changed:
		case <-ends.Done():
			if ctx.Err() != nil {
				return endpoint.CARootList{}, endpoint.Meta{}, ctx.Err()
			}
			if index == 0 {
				return endpoint.CARootList{}, endpoint.Meta{}, errs.New(errs.Unavailable, "no server has told the roots of the mesh CA yet")
			}
		}
	}
}

func sameRoots(a, b endpoint.CARootList) bool {
	if a.ActiveRootID != b.ActiveRootID || len(a.Roots) != len(b.Roots) {
		return false
	}
	for i := range a.Roots {
		if a.Roots[i].ID != b.Roots[i].ID || a.Roots[i].ModifyIndex != b.Roots[i].ModifyIndex {
			return false
		}
	}
	return true
}
