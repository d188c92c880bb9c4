package leader

import (
	"context"
	"time"

	"github.com/lictor/lictor/internal/fsm"
)

// proofSlack is how much longer than its end a login's proof is remembered, for
// a next leader whose clock is behind this one's.
const proofSlack = 15 * time.Minute

// forgetProofs removes every proof that no login can use any more.
func (l *Leader) forgetProofs(ctx context.Context) error {
	for {
		before := l.now().Add(-proofSlack)
		proofs, err := l.Store.Read().LoginProofsEnding(before, batch)
		if err != nil || len(proofs) == 0 {
			return err
		}
		cmd := fsm.LoginProofsReap{Now: before}
		for _, p := range proofs {
			cmd.Proofs = append(cmd.Proofs, p.Proof)
		}
		if _, err := l.Raft.Propose(ctx, cmd); err != nil {
			return err
		}
	}
}
