//go:build unix

package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/state"
)

const (
	million    = 1_000_000 // tokens of logins that the benchmark stores
	sweepBatch = 128       // tokens that one command removes, as the leader does
)

// sixtyFour logins of a million, each with a proof, from the n-th on; their tokens end one after the other.
func sixtyFour(n int) []Command {
	cmds := make([]Command, 64)
	for i := range cmds {
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n+i)*2654435761, n+i)
		end := expiry.Add(time.Duration(n+i) * time.Millisecond)
		cmds[i] = login(id, "5"+id[1:], func(c *Login) {
			c.Token.SecretID = logging.Secret("5" + id[1:8] + "-1" + id[10:])
			c.Token.ExpirationTime = &end
			c.Token.Description = fmt.Sprintf(`token created via login: {"task":"%d"}`, n+i)
			c.Token.ServiceIdentities = []acl.ServiceIdentity{{ServiceName: fmt.Sprint("service-", (n+i)%1000)}}
			c.Proof, c.ProofEnds = fmt.Sprintf("%064x", n+i), end
		})
	}
	return cmds
}

// BenchmarkMillion stores a million tokens of logins and measures what there is to do with
// them: run it with -benchtime 1x (docs/performance.md). It tells processor time too, which
// other work on the machine does not change.
func BenchmarkMillion(b *testing.B) {
	before := heap()
	m, began := setUp(b), processor()
	for n := 0; n < million; n += 64 {
		for _, err := range m.apply(b, sixtyFour(n)...) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	report := func(name string, value float64, unit string) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
			}
			b.ReportMetric(value, unit)
		})
	}
	report("login", float64(processor()-began)/million, "cpu-ns/login")
	measure := func(name, unit string, step func(b *testing.B) float64) {
		b.Run(name, func(b *testing.B) {
			var times float64
			began := processor()
			for b.Loop() {
				times += step(b)
			}
			b.ReportMetric(float64(processor()-began)/times, "cpu-ns/"+unit)
		})
	}
	memory := func() float64 { return float64(heap()-before) / million }
	report("memory-with-proofs", memory(), "B/token")
	measure("forget", "proof", func(b *testing.B) float64 { return m.sweepProofs(b) })
	report("memory", memory(), "B/token")
	after := ""
	measure("page", "page", func(b *testing.B) float64 {
		const pages = 100
		for range pages {
			rows, next, err := m.store.Read().TokensAfter(nil, team, state.TokenFilter{}, after, 1000, func(*acl.Token) bool { return true })
			if err != nil || len(rows) == 0 {
				b.Fatal(len(rows), err)
			}
			if _, err := json.Marshal(rows); err != nil {
				b.Fatal(err)
			}
			after = next
		}
		return pages
	})
	measure("list", "list", func(b *testing.B) float64 {
		if rows, err := m.store.Read().Tokens(nil, team, state.TokenFilter{}); err != nil || len(rows) < million {
			b.Fatal(len(rows), err)
		}
		return 1
	})
	measure("next-end", "look", func(b *testing.B) float64 {
		const looks = 1000
		for range looks {
			if _, err := m.store.Read().TokensExpiring(expiry.Add(time.Hour), 1); err != nil {
				b.Fatal(err)
			}
		}
		return looks
	})
	var snapshot []byte
	measure("snapshot", "token", func(b *testing.B) float64 {
		snapshot = m.snapshot(b).Bytes()
		b.ReportMetric(float64(len(snapshot))/million, "B/token")
		return million
	})
	measure("restart", "token", func(b *testing.B) float64 {
		if err := newMachine().Restore(io.NopCloser(bytes.NewReader(snapshot))); err != nil {
			b.Fatal(err)
		}
		return million
	})
	measure("sweep", "token", func(b *testing.B) float64 { return m.sweepTokens(b) })
}

// processor returns the processor time that this process has used, user and system.
func processor() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// sweepTokens removes every token as the leader does, and returns how many there were.
func (m *machine) sweepTokens(b *testing.B) (count float64) {
	now := expiry.Add(24 * time.Hour)
	for {
		rows, err := m.store.Read().TokensExpiring(now, sweepBatch)
		if err != nil {
			b.Fatal(err)
		}
		if len(rows) == 0 {
			return count
		}
		cmd := TokensReap{Now: now}
		for _, t := range rows {
			cmd.Tokens = append(cmd.Tokens, TokenRef{Scope: t.Scope, AccessorID: t.AccessorID})
		}
		m.apply(b, cmd)
		count += float64(len(rows))
	}
}

// sweepProofs is sweepTokens for the logins' proofs.
func (m *machine) sweepProofs(b *testing.B) (count float64) {
	now := expiry.Add(24 * time.Hour)
	for {
		rows, err := m.store.Read().LoginProofsEnding(now, sweepBatch)
		if err != nil {
			b.Fatal(err)
		}
		if len(rows) == 0 {
			return count
		}
		cmd := LoginProofsReap{Now: now}
		for _, p := range rows {
			cmd.Proofs = append(cmd.Proofs, p.Proof)
		}
		m.apply(b, cmd)
		count += float64(len(rows))
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
