package leader

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

func TestProofsAreForgottenSomeTimeAfterTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.run()
		defer s.stop()
		propose := func(cmd fsm.Command) uint64 {
			t.Helper()
			index, err := s.raft.Propose(context.Background(), cmd)
			if err != nil {
				t.Fatal(err)
			}
			return index
		}
		index := propose(fsm.AuthMethodSet{Method: authmethod.Method{Name: "m", Type: "aws-iam", Scope: tenancy.Default}})
		const count = batch + 1
		for i := range count {
			propose(fsm.Login{
				Token: acl.Token{AccessorID: uuid.New(), SecretID: logging.Secret(uuid.New()), AuthMethod: "m",
					AuthMethodNamespace: "default", CreateTime: time.Now(), Scope: tenancy.Default},
				Method: tenancy.Default, MethodIndex: index, Proof: fmt.Sprint(i), ProofEnds: time.Now().Add(15 * time.Minute),
			})
		}
		left := func() int {
			synctest.Wait()
			n := 0
			for i := range count {
				if p, err := s.state.Read().LoginProof(nil, fmt.Sprint(i)); err != nil {
					t.Fatal(err)
				} else if p != nil {
					n++
				}
			}
			return n
		}
		time.Sleep(15*time.Minute + proofSlack - time.Second)
		if n := left(); n != count {
			t.Fatalf("%d of %d are left before the end", n, count)
		}
		before := s.raft.proposed()
		time.Sleep(shortestLife + time.Second)
		if n := left(); n != 0 || s.raft.proposed()-before != 2 {
			t.Errorf("%d are left after %d commands", n, s.raft.proposed()-before)
		}
	})
}
