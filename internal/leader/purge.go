package leader

import (
	"context"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/fsm"
)

// purge empties the namespaces that are marked for deletion, and then removes
// them, until ctx is done. Marks that another leader has left are found too.
func (l *Leader) purge(ctx context.Context) {
	for ctx.Err() == nil {
		changed := memdb.NewWatchSet()
		l.retry(ctx, "a deleted namespace could not be emptied", func(ctx context.Context) error {
			return l.purgeDeleted(ctx, changed)
		})
		_ = changed.WatchCtx(ctx) // ends with ctx, which is looked at
	}
}

// purgeDeleted removes every namespace that is marked now. It adds to changed
// what tells that there may be another.
func (l *Leader) purgeDeleted(ctx context.Context, changed memdb.WatchSet) error {
	for {
		n, err := l.Store.Read().DeletedNamespace(changed)
		if err != nil || n == nil {
			return err
		}
		if _, err := l.Raft.Propose(ctx, fsm.NamespacePurge{Scope: n.Scope(), Limit: batch}); err != nil {
			return err
		}
		left, err := l.Store.Read().Namespace(nil, n.Partition, n.Name)
		if err != nil {
			return err
		}
		if left == nil {
			l.Log.Info("removed a deleted namespace", "namespace", n.Name, "partition", n.Partition)
		}
	}
}
