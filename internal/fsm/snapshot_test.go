package fsm

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/tenancy"
)

// full is a machine with a row in every table.
func full(t testing.TB) *machine {
	t.Helper()
	return play(t, history())
}

// play is a machine that has applied a log.
func play(t testing.TB, history [][]Command) *machine {
	t.Helper()
	m := newMachine()
	for _, c := range history {
		for _, err := range m.apply(t, c...) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// history is a log: one element an entry.
func history() [][]Command {
	var out [][]Command
	for _, c := range setup() {
		out = append(out, []Command{c})
	}
	var batch []Command
	for _, s := range samples() {
		batch = append(batch, s.command)
	}
	return append(out, batch[:4], batch[4:])
}

func TestARestoreReplacesEverythingAtOnce(t *testing.T) {
	m, other := full(t), newMachine()
	other.apply(t, PolicySet{Policy: policy(tenancy.Default, "p-lost", "lost")})
	old, abandoned := other.store.Read(), other.store.Abandoned()
	if err := other.Restore(io.NopCloser(m.snapshot(t))); err != nil {
		t.Fatal(err)
	}
	if got, want := other.dump(t), m.dump(t); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	select {
	case <-abandoned:
	default:
		t.Error("nobody was told")
	}
	if p, _ := old.Policy(nil, tenancy.Default, "p-lost"); p == nil {
		t.Error("an older view has changed")
	}
	select {
	case <-other.store.Abandoned():
		t.Error("the new content is abandoned too")
	default:
	}
}

func TestADamagedSnapshotChangesNothing(t *testing.T) {
	good := full(t).snapshot(t).Bytes()
	tests := []struct {
		name   string
		damage func(b []byte) []byte
		says   string
	}{
		{"nothing", func(b []byte) []byte { return nil }, "truncated"},
		{"something else", func(b []byte) []byte { return append([]byte("PK"), b...) }, "not a snapshot"},
		{"a newer format", func(b []byte) []byte { b[len(snapshotMagic)] = 2; return b }, "unknown format 2"},
		{"a newer table", func(b []byte) []byte { b[len(snapshotMagic)+1] = 99; return b }, "unknown record kind 99"},
		{"a bit in the middle", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, ""},
		{"a bit of the checksum", func(b []byte) []byte { b[len(b)-1] ^= 1; return b }, "checksum mismatch"},
		{"a record too few", func(b []byte) []byte { b[len(b)-33]--; return b }, "records"},
		{"no checksum", func(b []byte) []byte { return b[:len(b)-32] }, "truncated"},
		{"no end", func(b []byte) []byte { return b[:len(b)/2] }, "truncated"},
		{"more after the end", func(b []byte) []byte { return append(b, 0) }, "bytes after the end"},
		{"a huge record", func(b []byte) []byte {
			return append(b[:len(snapshotMagic)+2], 0xff, 0xff, 0xff, 0xff, 0x7f)
		}, "a record of"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			m := setUp(t)
			before, abandoned := m.dump(t), m.store.Abandoned()
			err := m.Restore(io.NopCloser(bytes.NewReader(tc.damage(bytes.Clone(good)))))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q in it", err, tc.says)
			}
			if m.dump(t) != before {
				t.Error("something changed")
			}
			select {
			case <-abandoned:
				t.Error("the content was abandoned")
			default:
			}
		})
	}
}

func TestASnapshotThatCannotBeWrittenIsCanceled(t *testing.T) {
	snap, err := full(t).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sink := &memorySink{full: 100}
	if err := snap.Persist(sink); err == nil || !sink.canceled || sink.closed {
		t.Errorf("got %v, canceled %v, closed %v", err, sink.canceled, sink.closed)
	}
}

// TestRecordedFilesLoad reads the log and the snapshot that format 1 was recorded with. The files
// are never rewritten: a format that cannot read them breaks every running cluster.
func TestRecordedFilesLoad(t *testing.T) {
	for dir, history := range map[string]func() [][]Command{"format-1": history, "format-1-config-entries": entryHistory, "format-1-catalog": catalogHistory, "format-1-coordinates": coordinateHistory} {
		t.Run(dir, func(t *testing.T) { loadRecorded(t, dir, history()) })
	}
}

func loadRecorded(t *testing.T, dir string, history [][]Command) {
	log, snap, want := record(t, dir, history)
	replayed := newMachine()
	for line := range strings.Lines(string(log)) {
		var index uint64
		var text string
		if _, err := fmt.Sscan(line, &index, &text); err != nil {
			t.Fatal(err)
		}
		entry, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range replayed.Apply(&raft.Log{Index: index, Data: entry, AppendedAt: sampleTime}).(Applied).Errors {
			if err != nil {
				t.Fatalf("entry %d: %v", index, err)
			}
		}
	}
	if got := replayed.dump(t); got != string(want) {
		t.Errorf("the log gives\n%s\nwant\n%s", got, want)
	}
	restored := newMachine()
	if err := restored.Restore(io.NopCloser(bytes.NewReader(snap))); err != nil {
		t.Fatal(err)
	}
	if got := restored.dump(t); got != string(want) {
		t.Errorf("the snapshot gives\n%s\nwant\n%s", got, want)
	}
}

// record returns the log, snapshot and content that history was recorded with. With -update it makes those that
// do not exist.
func record(t *testing.T, dir string, history [][]Command) (log, snap, want []byte) {
	t.Helper()
	file := func(name string, fresh func() []byte) []byte {
		path := filepath.Join("testdata", dir, name)
		if _, err := os.Stat(path); *update && os.IsNotExist(err) {
			write(t, path, fresh())
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	log = file("log.hex", func() []byte {
		var b bytes.Buffer
		for i, c := range history {
			entry, err := Encode(c...)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%d %x\n", 11+i, entry)
		}
		return b.Bytes()
	})
	snap = file("snapshot.bin", func() []byte { return play(t, history).snapshot(t).Bytes() })
	want = file("content.txt", func() []byte { return []byte(play(t, history).dump(t)) })
	return log, snap, want
}

func FuzzRestore(f *testing.F) {
	f.Add(full(f).snapshot(f).Bytes())
	f.Add(newMachine().snapshot(f).Bytes())
	f.Add([]byte(snapshotMagic + "\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := newMachine()
		before := m.dump(t)
		if err := m.Restore(io.NopCloser(bytes.NewReader(data))); err != nil && m.dump(t) != before {
			t.Errorf("a refused snapshot changed something")
		}
	})
}
