package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
)

func follow(t *testing.T, l *slog.Logger, level slog.Level, asJSON bool) *Follower {
	t.Helper()
	f, err := Follow(l, level, asJSON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// told returns what a follower is told, without time stamps.
func told(t *testing.T, f *Follower) []string {
	t.Helper()
	b, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(b)) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		all = append(all, rest)
	}
	return all
}

func TestFollowersHaveTheirOwnLevelAndForm(t *testing.T) {
	for _, own := range []bool{false, true} { // whether the log itself is JSON
		var out bytes.Buffer
		base, level := open(t, Config{Level: "warn", JSON: own}, &out)
		l := Named(base, "agent").With("node", "n1")
		debug, warn, asJSON := follow(t, l, slog.LevelDebug, false), follow(t, base, slog.LevelWarn, false), follow(t, l, slog.LevelInfo, true)
		l.Debug("a", "k", 1)
		l.Info("b", "token", Secret("s3cret"))
		l.Warn("c")
		if got := strings.Join(told(t, debug), "|"); got != "[DEBUG] agent: a: node=n1 k=1|[INFO]  agent: b: node=n1 token=<hidden>|[WARN]  agent: c: node=n1" {
			t.Errorf("debug: %s", got)
		}
		if got := strings.Join(told(t, warn), "|"); got != "[WARN]  agent: c: node=n1" {
			t.Errorf("warn: %s", got)
		}
		b, err := asJSON.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		for _, want := range []string{"b", "c"} {
			var line map[string]any
			if err := dec.Decode(&line); err != nil || line["@message"] != want || line["node"] != "n1" || line["@module"] != "agent" {
				t.Errorf("%v %v", line, err)
			}
		}
		if got := strings.Count(out.String(), "\n"); got != 1 {
			t.Errorf("the log has %d lines: %s", got, out.String())
		}
		debug.Close()
		asJSON.Close()
		if l.Enabled(t.Context(), slog.LevelInfo) {
			t.Error("the level stays low after followers are gone")
		}
		if err := level.Set("trace"); err != nil || !l.Enabled(t.Context(), LevelTrace) {
			t.Error("the log's own level is lost")
		}
	}
}

func TestAFollowerThatDoesNotKeepUpMissesLines(t *testing.T) {
	l, _ := open(t, Config{}, io.Discard)
	f := follow(t, l, slog.LevelInfo, false)
	long := strings.Repeat("x", 1000)
	for range 2 * maxPending / len(long) {
		l.Info(long)
	}
	b, err := f.Next(t.Context())
	if err != nil || len(b) > maxPending+200 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	if last := all[len(all)-1]; !strings.Contains(last, "[WARN]  agent: lines of the log were left out: count=") {
		t.Errorf("last is %s", last)
	}
	l.Info("again")
	if got := told(t, f); len(got) != 1 || got[0] != "[INFO]  again" {
		t.Errorf("%q", got)
	}
}

func TestFollowersAreBounded(t *testing.T) {
	l, _ := open(t, Config{}, io.Discard)
	for range maxFollowers {
		follow(t, l, slog.LevelInfo, false)
	}
	if _, err := Follow(l, slog.LevelInfo, false); !errors.Is(err, ErrTooManyFollowers) {
		t.Error(err)
	}
	if _, err := Follow(slog.New(slog.DiscardHandler), slog.LevelInfo, false); !errors.Is(err, ErrNotFollowed) {
		t.Error(err)
	}
}

func TestFollowingEnds(t *testing.T) {
	l, _ := open(t, Config{}, io.Discard)
	f := follow(t, l, slog.LevelInfo, false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
