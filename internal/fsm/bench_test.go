package fsm

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/lictor/lictor/internal/logging"
)

// BenchmarkSnapshot writes and restores 50,000 tokens of logins.
func BenchmarkSnapshot(b *testing.B) {
	m := setUp(b)
	for i := 0; i < 50_000; i += 100 {
		cmds := make([]Command, 100)
		for j := range cmds {
			t := loginToken()
			t.AccessorID = fmt.Sprintf("%08x-0000-0000-0000-000000000000", uint32(i+j)*2654435761)
			t.SecretID = logging.Secret("s" + t.AccessorID)
			cmds[j] = TokenLogin{Token: t, Method: team}
		}
		for _, err := range m.apply(b, cmds...) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	data := m.snapshot(b).Bytes()
	b.Run("write", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := WriteSnapshot(io.Discard, m.store.Read()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if err := newMachine().Restore(io.NopCloser(bytes.NewReader(data))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkLogin applies logins, 64 to an entry.
func BenchmarkLogin(b *testing.B) {
	m, n := setUp(b), 0
	for b.Loop() {
		cmds := make([]Command, 64)
		for j := range cmds {
			n++
			t := loginToken()
			t.AccessorID = fmt.Sprintf("%08x-0000-0000-0000-000000000000", uint32(n)*2654435761)
			t.SecretID = logging.Secret("s" + t.AccessorID)
			cmds[j] = TokenLogin{Token: t, Method: team}
		}
		m.apply(b, cmds...)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(n), "µs/login")
}
