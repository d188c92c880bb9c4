// Package leader runs what one server of a cluster has to do for all: to make
// what ACLs and the mesh CA need to begin with, to remove tokens whose life is over, and to keep
// the servers that replicate, and the nodes of the catalog, in step with the members that are there.
package leader

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
	"github.com/lictor/lictor/internal/state"
)

// Waits between attempts of a task that failed.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// Raft is this server's part in replication.
type Raft interface {
	// LeaderCh tells each time that this server may have begun (true) or
	// ceased (false) to lead. Begun means that Store has what was committed before.
	LeaderCh() <-chan bool
	Propose(ctx context.Context, cmd fsm.Command) (index uint64, err error)
}

// Store is the replicated state.
type Store interface {
	Read() *state.Tx            // a consistent view
	Abandoned() <-chan struct{} // closed when a snapshot has replaced everything
}

// Leader runs the leader's tasks while this server leads.
type Leader struct {
	Raft  Raft
	Store Store
	Log   *slog.Logger
	Now   func() time.Time // nil is time.Now
	Node  string           // this server's name, for the log

	ACLs              bool                // they are enabled
	InitialManagement logging.Secret      // the secret of a token that may do everything; "" is none
	MeshCA            *MeshCA             // nil where the mesh CA is not needed: connect and auto_encrypt are off
	Entries           []configentry.Entry // made where they are missing; settled
	Autopilot         *Autopilot          // nil leaves the servers that replicate as they are
	Nodes             *Nodes              // nil leaves the catalog as it is
	Renewals          *kv.Renewals        // of sessions; nil lets no session expire
	Began             func()              // called when a term's first objects are in place; may be nil
}

// Run runs the tasks each time that this server leads, until ctx is done.
func (l *Leader) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case leads := <-l.Raft.LeaderCh():
			for leads {
				leads = l.term(ctx)
			}
		}
	}
}

// term runs the tasks until this server may have ceased to lead, or begun again; it
// returns which. Where a snapshot replaces the state, the tasks begin anew.
func (l *Leader) term(ctx context.Context) (leads bool) {
	l.Log.Info("cluster leadership acquired")
	l.Log.Info("New leader elected", "payload", l.Node) // operators search for both lines (agent.md section 7)
	for {
		replaced := l.Store.Abandoned()
		run, end := context.WithCancel(ctx)
		var tasks sync.WaitGroup
		tasks.Go(func() { l.lead(run) })
		stop := func() {
			end()
			tasks.Wait()
		}
		select {
		case <-ctx.Done():
			stop()
			return false
		case leads = <-l.Raft.LeaderCh():
			stop()
			return leads
		case <-replaced:
			stop()
		}
	}
}

// lead runs the tasks until ctx is done.
func (l *Leader) lead(ctx context.Context) {
	if l.ACLs {
		l.retry(ctx, "ACLs could not be initialized", l.initACLs)
	}
	if l.MeshCA != nil {
		l.retry(ctx, "the mesh CA could not be initialized", l.initCA)
	}
	if len(l.Entries) > 0 {
		l.retry(ctx, "the configured config entries could not be made", l.initEntries)
	}
	if l.Began != nil && ctx.Err() == nil {
		l.Began()
	}
	var tasks sync.WaitGroup
	defer tasks.Wait()
	if l.Autopilot != nil {
		tasks.Go(func() { l.steer(ctx) })
	}
	if l.Nodes != nil {
		tasks.Go(func() { l.reconcile(ctx) })
	}
	if l.MeshCA != nil {
		tasks.Go(func() { l.pruneCA(ctx) })
	}
	tasks.Go(func() { l.purge(ctx) })
	if l.Renewals != nil {
		tasks.Go(func() { l.expireSessions(ctx) })
	}
	l.reap(ctx)
}

// retry runs task until it succeeds or ctx is done, with growing waits.
func (l *Leader) retry(ctx context.Context, complaint string, task func(context.Context) error) {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := task(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		l.Log.Error(complaint, "error", err)
		sleep.For(ctx, wait+rand.N(wait))
	}
}

func (l *Leader) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}
