package leader

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/fsm"
)

// MeshCA is the mesh CA that a cluster begins with.
type MeshCA struct {
	Providers ca.Providers
	Initial   ca.Settings // what counts until an operator has chosen
}

// pruneWait is how long the leader leaves roots alone at most: its clock may jump, and timers do
// not follow it.
const pruneWait = time.Hour

// initCA makes the first root of the mesh CA, with the key and the cluster's
// UUID, unless there is one (mesh.md section 1).
func (l *Leader) initCA(ctx context.Context) error {
	active, err := l.Store.Read().ActiveCARoot(nil)
	if err != nil || active != nil {
		return err
	}
	s := l.MeshCA.Initial
	root, err := l.MeshCA.Providers[s.Provider].NewRoot(ctx, ca.RootSpec{Settings: s, Now: l.now().UTC()})
	if err != nil {
		return err
	}
	_, err = l.Raft.Propose(ctx, fsm.CASet{Config: s.Config, Root: &root})
	if errors.Is(err, fsm.ErrChanged) {
		return nil // a leader before this one has made it
	}
	if err == nil {
		l.Log.Info("initialized primary datacenter CA with provider", "provider", s.Provider)
	}
	return err
}

// pruneCA removes the roots that were replaced when nothing that they signed is in use any
// more, until ctx is done.
func (l *Leader) pruneCA(ctx context.Context) {
	for ctx.Err() == nil {
		changed := memdb.NewWatchSet()
		wait := pruneWait
		l.retry(ctx, "old roots of the mesh CA could not be removed", func(ctx context.Context) (err error) {
			wait, err = l.pruneRoots(ctx, changed)
			return err
		})
		until, cancel := context.WithTimeout(ctx, wait)
		_ = changed.WatchCtx(until) // its error is that of until
		cancel()
	}
}

// pruneRoots removes what is needed no more, and returns how long the rest is. It adds to changed
// what tells that this may differ.
func (l *Leader) pruneRoots(ctx context.Context, changed memdb.WatchSet) (wait time.Duration, err error) {
	roots, err := l.Store.Read().CARoots(changed)
	if err != nil {
		return pruneWait, err
	}
	now, wait := l.now(), pruneWait
	var cmd fsm.CARootsPrune
	for _, r := range roots {
		if r.Active {
			continue
		}
		if left := r.PrunedAt().Sub(now); left > 0 {
			wait = min(wait, left)
		} else {
			cmd.IDs = append(cmd.IDs, r.ID)
		}
	}
	if len(cmd.IDs) == 0 {
		return wait, nil
	}
	if _, err = l.Raft.Propose(ctx, cmd); err == nil {
		l.Log.Info("removed roots of the mesh CA that were rotated out", "ids", cmd.IDs)
	}
	return wait, err
}
