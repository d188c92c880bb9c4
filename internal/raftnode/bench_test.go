package raftnode

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/lictor/lictor/internal/fsm"
)

// BenchmarkPropose writes policies with 1 and with 64 workers.
func BenchmarkPropose(b *testing.B) {
	for _, workers := range []int{1, 64} {
		b.Run(fmt.Sprintf("x%d", workers), func(b *testing.B) {
			s := start(b, Config{DataDir: b.TempDir()})
			var n atomic.Int64
			inParallel(b, workers, func() error {
				_, err := s.Propose(b.Context(), numbered(int(n.Add(1))))
				return err
			})
		})
	}
}

// BenchmarkFloor appends the bytes of one command to a file and syncs it: what a write costs
// at least when it is alone.
func BenchmarkFloor(b *testing.B) {
	entry, err := fsm.Encode(numbered(1))
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	inParallel(b, 1, func() error {
		if _, err := f.Write(entry); err != nil {
			return err
		}
		return f.Sync()
	})
}

// inParallel runs op b.N times from some workers.
func inParallel(b *testing.B, workers int, op func() error) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	var left atomic.Int64
	left.Store(int64(b.N))
	done := make(chan error, workers)
	for range workers {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				err = op()
			}
			done <- err
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
