package raftnode

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/state"
)

// crashDir tells a re-executed test binary to be the server that gets killed.
const (
	crashDir  = "RAFTNODE_CRASH_DIR"
	crashFrom = "RAFTNODE_CRASH_FROM"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir, os.Getenv(crashFrom)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver is the child: it proposes numbered commands from eight goroutines, prints each number
// once it is acknowledged, and takes snapshots meanwhile.
func writeForEver(dir, from string) error {
	next, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	s, err := tryStart(Config{DataDir: dir, TrailingLogs: 16})
	if err != nil {
		return err
	}
	if lead := <-s.LeaderCh(); !lead {
		return fmt.Errorf("no leader")
	}
	var mu sync.Mutex
	number := func() int {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next
	}
	failed := make(chan error)
	for range 8 {
		go func() {
			for {
				i := number()
				if _, err := s.Propose(context.Background(), numbered(i)); err != nil {
					failed <- err
					return
				}
				fmt.Printf("%d\n", i)
			}
		}()
	}
	go func() {
		for {
			if err := s.Snapshot(); err != nil {
				failed <- err
				return
			}
		}
	}()
	return <-failed
}

// TestKilledAtAnyMoment kills a server again and again while it writes and takes snapshots. Each time
// everything that it had acknowledged is there.
func TestKilledAtAnyMoment(t *testing.T) {
	dir, last := t.TempDir(), 0
	acked := map[int]bool{}
	for round := range 10 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDir+"="+dir, crashFrom+"="+strconv.Itoa(last))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		enough := 1 + rand.IntN(200)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			i, err := strconv.Atoi(lines.Text())
			if err != nil {
				break // killed in the middle of a line
			}
			acked[i], last = true, max(last, i)
			if enough--; enough == 0 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || enough > 0 {
			t.Fatalf("round %d: the server ended by itself: %v", round, err)
		}
		last += 8 // what was proposed and not acknowledged
		s := start(t, Config{DataDir: dir})
		for i := range acked {
			if !s.has(t, i) {
				t.Fatalf("round %d: write %d was acknowledged and is lost", round, i)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestATornRecordIsDropped damages the end of the log as a crash in the middle of a write does.
func TestATornRecordIsDropped(t *testing.T) {
	tests := []struct {
		name string
		tear func(f *os.File, end int64) error // end is the offset behind the last byte written
	}{
		{"half a record after the last one", func(f *os.File, end int64) error {
			_, err := f.WriteAt([]byte{1, 0, 0, 0, 200, 0, 0, 0, 'h', 'a', 'l', 'f'}, (end+7)/8*8)
			return err
		}},
		{"a last record whose end did not reach the disk", func(f *os.File, end int64) error {
			_, err := f.WriteAt(make([]byte, 40), end-40)
			return err
		}},
	}
	for i, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			s := start(t, Config{DataDir: dir})
			for i := range 5 {
				s.propose(t, numbered(i))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, dir, tc.tear)
			s = start(t, Config{DataDir: dir})
			for n := range 5 {
				// Only the record that never was whole may be gone.
				if torn := n == 4 && i == 1; !s.has(t, n) && !torn {
					t.Errorf("write %d is lost", n)
				}
			}
			s.propose(t, numbered(10))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if s = start(t, Config{DataDir: dir}); !s.has(t, 10) || !s.has(t, 3) {
				t.Error("what was written after the recovery is lost")
			}
		})
	}
}

// damage calls tear with the log's only segment.
func damage(t *testing.T, dir string, tear func(f *os.File, end int64) error) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "raft", "wal", "*.wal"))
	if err != nil || len(files) != 1 {
		t.Fatalf("segments: %v, %v", files, err)
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	end := len(data)
	for end > 0 && data[end-1] == 0 {
		end--
	}
	if err := tear(f, int64(end)); err != nil {
		t.Fatal(err)
	}
}

// TestADamagedSnapshotIsNotUsed falls back to the one before it, and to the log.
func TestADamagedSnapshotIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{DataDir: dir})
	for i := range 2 {
		s.propose(t, numbered(i))
		if err := s.Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	index := s.store.Read().LastIndex(state.TablePolicies)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var newest string
	err := filepath.WalkDir(filepath.Join(dir, "raft", "snapshots"), func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.Name() == "state.bin" {
			newest = max(newest, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(newest, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s = start(t, Config{DataDir: dir})
	if !s.has(t, 0) || !s.has(t, 1) || s.store.Read().LastIndex(state.TablePolicies) != index {
		t.Error("something is lost")
	}
}

func BenchmarkStart(b *testing.B) {
	for _, onDisk := range []bool{false, true} {
		b.Run(fmt.Sprintf("disk=%v", onDisk), func(b *testing.B) {
			var total time.Duration
			for b.Loop() {
				cfg := Config{}
				if onDisk {
					cfg.DataDir = b.TempDir()
				}
				began := time.Now()
				s, err := tryStart(cfg)
				if err != nil {
					b.Fatal(err)
				}
				<-s.LeaderCh()
				if _, err := s.Propose(b.Context(), numbered(1)); err != nil {
					b.Fatal(err)
				}
				total += time.Since(began)
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(total.Seconds()*1000/float64(b.N), "ms/first-write")
		})
	}
}
