package agent

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
)

// Leaf returns the leaf of a service, with its index, and how old it is; hit says that it was
// there already. With a MinIndex it waits for one with a higher index, or until the wait is over.
// While servers cannot sign, one that is still valid is good enough. It needs service:write
// on the service, at the end of a wait too. The errors are those of endpoint.Leafs.
func (l *Leafs) Leaf(ctx context.Context, q endpoint.LeafRead) (leaf endpoint.Leaf, age time.Duration, hit bool, err error) {
	if err := q.Caller.Require(q.Scope, acl.ServiceWrite, q.Service); err != nil {
		return leaf, 0, false, err
	}
	id := ca.ServiceID{Datacenter: l.Datacenter, Service: q.Service, Scope: q.Scope}
	if err := id.Check(); err != nil {
		return leaf, 0, false, err
	}
	if id.TrustDomain, err = l.trustDomain(ctx); err != nil {
		return leaf, 0, false, err
	}
	e := l.enter(id)
	defer l.exit(e)
	v, hit, err := l.await(ctx, e, id, q)
	if err != nil {
		return leaf, 0, false, err
	}
	return *v.leaf, v.age, hit, nil
}

// await returns a view with a leaf. Whoever waited is looked up again before: a permission may have ended meanwhile.
func (l *Leafs) await(ctx context.Context, e *leafEntry, id ca.ServiceID, q endpoint.LeafRead) (v leafView, hit bool, err error) {
	ends, cancel := context.WithTimeout(ctx, leafWait(q.Read))
	defer cancel()
	var failed error
	for hit = true; ; {
		over := ends.Err() != nil
		v = l.look(e, !over)
		resting := v.due && !v.busy && !v.mine
		switch {
		case v.mine:
			if failed = l.renew(ends, e, id, q.Token); failed != nil && !later(failed) && ctx.Err() == nil {
				return v, false, failed
			}
			hit = false
			continue
		case v.leaf != nil && (over || v.leaf.ModifyIndex > q.MinIndex && (!v.due || resting)):
			return v, hit, ctx.Err()
		case over:
			return v, false, cmp.Or(ctx.Err(), failed, error(errNoLeaf))
		}
		v.wait(ends)
		if err := l.again(ctx, &q); err != nil {
			return v, false, err
		}
	}
}

var errNoLeaf = errs.New(errs.Unavailable, "no leaf was signed in time")

func (v *leafView) wait(ctx context.Context) {
	timer := time.NewTimer(v.wake)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-v.changed:
	case <-ctx.Done():
	}
}

// again looks up who asks, and whether they still may.
func (l *Leafs) again(ctx context.Context, q *endpoint.LeafRead) error {
	now, err := l.Resolve(ctx, q.Token)
	if err != nil {
		return err
	}
	now.Asked = q.Caller.Asked
	q.Caller = now
	return now.Require(q.Scope, acl.ServiceWrite, q.Service)
}

// leafWait returns how long a read may take (catalog.md section 1.2).
func leafWait(r endpoint.Read) time.Duration {
	if r.MinIndex == 0 {
		return leafHold
	}
	d := min(cmp.Or(r.MaxWait, rootsWait), maxWait)
	return d + rand.N(d/16+1)
}
