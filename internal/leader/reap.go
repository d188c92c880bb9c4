package leader

import (
	"context"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/sleep"
)

const (
	// batch is how many things one command removes. A command that changes more than some 8,000 nodes of a
	// table's tree makes memdb compare the whole tree to find whom to wake.
	batch = 128

	// shortestLife is the least time that a token is given. Whatever was made
	// since the last look cannot end before as much time has passed.
	shortestLife = time.Minute
)

// reap removes each token when its life is over, until ctx is done. It sleeps
// until the next one ends; what it looks at is the index of such times. Proofs of
// logins, which end some time later, go with them.
func (l *Leader) reap(ctx context.Context) {
	for ctx.Err() == nil {
		l.retry(ctx, "expired ACL tokens could not be removed", l.removeExpired)
		l.retry(ctx, "proofs of past logins could not be removed", l.forgetProofs)
		sleep.For(ctx, l.untilNext())
	}
}

// untilNext returns how long nothing has to be removed.
func (l *Leader) untilNext() time.Duration {
	now := l.now()
	next, err := l.Store.Read().TokensExpiring(now.Add(shortestLife), 1)
	if err != nil || len(next) == 0 {
		return shortestLife
	}
	return max(0, next[0].ExpirationTime.Sub(now))
}

// removeExpired removes every token whose life is over now.
func (l *Leader) removeExpired(ctx context.Context) error {
	for {
		now := l.now()
		tokens, err := l.Store.Read().TokensExpiring(now, batch)
		if err != nil || len(tokens) == 0 {
			return err
		}
		cmd := fsm.TokensReap{Now: now}
		for _, t := range tokens {
			cmd.Tokens = append(cmd.Tokens, fsm.TokenRef{Scope: t.Scope, AccessorID: t.AccessorID})
		}
		if _, err := l.Raft.Propose(ctx, cmd); err != nil {
			return err
		}
		l.report(tokens)
	}
}

// report logs how many tokens were removed.
func (l *Leader) report(tokens []*acl.Token) {
	local := 0
	for _, t := range tokens {
		if t.Local {
			local++
		}
	}
	if local > 0 {
		l.Log.Info("deleted expired ACL tokens", "amount", local, "locality", "local")
	}
	if global := len(tokens) - local; global > 0 {
		l.Log.Info("deleted expired ACL tokens", "amount", global, "locality", "global")
	}
}
