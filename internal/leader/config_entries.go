package leader

import (
	"context"
	"errors"
	"slices"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
)

// initEntries makes the configured config entries that are not there (agent.md section 5). What is
// there stays as it is. An entry that cannot be made does not keep the others from being made.
func (l *Leader) initEntries(ctx context.Context) error {
	for _, e := range slices.SortedStableFunc(slices.Values(l.Entries), meshFirst) {
		_, err := l.Raft.Propose(ctx, fsm.ConfigEntrySet{Entry: e, Compare: true})
		switch {
		case err == nil || errors.Is(err, fsm.ErrChanged):
		case errs.KindOf(err) == errs.Invalid:
			l.Log.Error("a configured config entry could not be made", "kind", string(e.Kind), "name", e.Name, logging.Err, err)
		default:
			return err
		}
	}
	return nil
}

// meshFirst orders entries so that others find what the mesh permits.
func meshFirst(a, b configentry.Entry) int {
	rank := func(e configentry.Entry) int {
		if e.Kind == configentry.KindMesh {
			return 0
		}
		return 1
	}
	return rank(a) - rank(b)
}
