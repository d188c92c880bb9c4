package leader

import (
	"context"
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/sleep"
)

// gatherTime is in which changes of sessions are looked at once.
const gatherTime = 100 * time.Millisecond

// expireSessions ends each session that has a TTL when nobody has renewed it in time,
// until ctx is done. Every session has its whole time again when a server begins to lead.
func (l *Leader) expireSessions(ctx context.Context) {
	l.Renewals.Begin()
	for ctx.Err() == nil {
		changed := memdb.NewWatchSet()
		var next time.Time
		l.retry(ctx, "sessions could not be ended", func(ctx context.Context) (err error) {
			changed = memdb.NewWatchSet()
			next, err = l.endSessions(ctx, changed)
			return err
		})
		l.awaitSessions(ctx, changed, next)
	}
}

// awaitSessions waits until next, if there is one, or a while after sessions with a TTL have changed.
func (l *Leader) awaitSessions(ctx context.Context, changed memdb.WatchSet, next time.Time) {
	wait, stop := context.WithCancel(ctx)
	if !next.IsZero() {
		wait, stop = context.WithTimeout(ctx, max(0, next.Sub(l.now())))
	}
	defer stop()
	if changed.WatchCtx(wait) == nil {
		sleep.For(ctx, gatherTime)
	}
}

// endSessions ends the sessions whose time is over. It returns when the next one's is, and adds
// to changed what tells of others.
func (l *Leader) endSessions(ctx context.Context, changed memdb.WatchSet) (next time.Time, err error) {
	sessions, err := l.Store.Read().SessionsWithTTL(changed)
	if err != nil {
		return next, err
	}
	over, next := l.Renewals.Due(sessions, l.now())
	for len(over) > 0 {
		n := min(len(over), batch)
		if err := l.end(ctx, over[:n]); err != nil {
			return next, err
		}
		over = over[n:]
	}
	return next, nil
}

func (l *Leader) end(ctx context.Context, over []*kv.Session) error {
	cmd := fsm.SessionsExpire{}
	for _, s := range over {
		cmd.Sessions = append(cmd.Sessions, fsm.SessionDestroy{Scope: s.Scope, ID: s.ID})
	}
	if _, err := l.Raft.Propose(ctx, cmd); err != nil {
		return err
	}
	l.Log.Info("sessions ended that were not renewed", "amount", len(over))
	return nil
}
