// Package leader runs what one server of a cluster has to do for all: to make
// what ACLs and the mesh CA need to begin with, and to remove tokens whose life is over.
package leader

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
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

// Reader gives consistent views of the state.
type Reader interface {
	Read() *state.Tx
}

// Leader runs the leader's tasks while this server leads.
type Leader struct {
	Raft  Raft
	Store Reader
	Log   *slog.Logger
	Now   func() time.Time // nil is time.Now
	Node  string           // this server's name, for the log

	ACLs              bool           // they are enabled
	InitialManagement logging.Secret // the secret of a token that may do everything; "" is none
	MeshCA            bool           // the mesh CA is needed: connect or auto_encrypt is on
	Began             func()         // called when a term's first objects are in place; may be nil
}

// Run runs the tasks each time that this server leads, until ctx is done.
func (l *Leader) Run(ctx context.Context) error {
	for leads := false; ; {
		var ok bool
		if leads {
			leads, ok = l.term(ctx)
		} else {
			leads, ok = l.change(ctx)
		}
		if !ok {
			return nil
		}
	}
}

// change waits until this server may have begun or ceased to lead; ok is false
// when ctx is done.
func (l *Leader) change(ctx context.Context) (leads, ok bool) {
	select {
	case <-ctx.Done():
		return false, false
	case leads = <-l.Raft.LeaderCh():
		return leads, true
	}
}

// term runs the tasks until the next change, and returns what change does.
func (l *Leader) term(ctx context.Context) (leads, ok bool) {
	term, end := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() { l.lead(term) })
	defer tasks.Wait()
	defer end()
	return l.change(ctx)
}

// lead runs the tasks of one term, which ends with ctx.
func (l *Leader) lead(ctx context.Context) {
	l.Log.Info("cluster leadership acquired")
	l.Log.Info("New leader elected", "payload", l.Node) // operators search for both lines (agent.md section 7)
	if l.ACLs {
		l.retry(ctx, "ACLs could not be initialized", l.initACLs)
	}
	if l.MeshCA {
		l.retry(ctx, "the mesh CA could not be initialized", l.initCA)
	}
	if l.Began != nil && ctx.Err() == nil {
		l.Began()
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
		sleep(ctx, wait+rand.N(wait))
	}
}

// sleep waits for d or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (l *Leader) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}
