package logging

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

var noon = time.Date(2026, 1, 2, 15, 4, 5, 678_900_000, time.FixedZone("", 3600))

// record is what a handler gets, with a fixed time.
func record(level slog.Level, msg string, args ...any) slog.Record {
	r := slog.NewRecord(noon, level, msg, 0)
	r.Add(args...)
	return r
}

func open(t testing.TB, cfg Config, out io.Writer) (*slog.Logger, *Level) {
	t.Helper()
	l, level, closer, err := New(cfg, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, level
}

func TestTextLines(t *testing.T) {
	for _, tc := range []struct {
		name  string
		level slog.Level
		msg   string
		args  []any
		want  string
	}{
		{"without pairs", slog.LevelInfo, "Consul agent running!", nil,
			"2026-01-02T14:04:05.678Z [INFO]  agent.server.raft: Consul agent running!\n"},
		{"pairs, one of two words", slog.LevelWarn, "message text", []any{"key", "value", "key2", "value with space"},
			"2026-01-02T14:04:05.678Z [WARN]  agent.server.raft: message text: key=value key2=\"value with space\"\n"},
		{"numbers, truth, duration, nothing", slog.LevelError, "m", []any{"n", -3, "u", uint64(7), "b", true, "d", 1500 * time.Millisecond, "x", nil},
			"2026-01-02T14:04:05.678Z [ERROR] agent.server.raft: m: n=-3 u=7 b=true d=1.5s x=<nil>\n"},
		{"error", LevelTrace, "m", []any{Err, errors.New("dial tcp: refused")},
			"2026-01-02T14:04:05.678Z [TRACE] agent.server.raft: m: error=\"dial tcp: refused\"\n"},
		{"list", slog.LevelDebug, "m", []any{"lan_addresses", []string{"10.0.0.1", "b c"}},
			"2026-01-02T14:04:05.678Z [DEBUG] agent.server.raft: m: lan_addresses=[\"10.0.0.1\", \"b c\"]\n"},
		{"several lines", slog.LevelInfo, "m", []any{"a", 1, Err, "2 errors occurred:\n\t* one\n\t* two\n\n", "b", 2},
			"2026-01-02T14:04:05.678Z [INFO]  agent.server.raft: m: a=1\n  error=\n  | 2 errors occurred:\n  | \\t* one\n  | \\t* two\n  | \n   b=2\n"},
		{"a secret", slog.LevelInfo, "m", []any{"token", Secret("s3cret"), "tokens", []Secret{"s3cret"}},
			"2026-01-02T14:04:05.678Z [INFO]  agent.server.raft: m: token=<hidden> tokens=[<hidden>]\n"},
		{"a group", slog.LevelInfo, "m", []any{slog.Group("http", "status", 200, "path", "/")},
			"2026-01-02T14:04:05.678Z [INFO]  agent.server.raft: m: http.status=200 http.path=/\n"},
		{"control characters", slog.LevelInfo, "m\n2026 [ERROR] forged", []any{"a\nb", "x\r\x1b[31my", "bad", "\xff"},
			"2026-01-02T14:04:05.678Z [INFO]  agent.server.raft: m\\n2026 [ERROR] forged: a\\nb=\"x\\r\\x1b[31my\" bad=\"\\xff\"\n"},
		{"control characters in several lines", slog.LevelInfo, "m", []any{"k", "a\n\x1b[2Kb\r"},
			"2026-01-02T14:04:05.678Z [INFO]  agent.server.raft: m:\n  k=\n  | a\n  | \\x1b[2Kb\\r\n  \n"},
		{"letters of the world", slog.LevelInfo, "größe", []any{"k", "日本"},
			"2026-01-02T14:04:05.678Z [INFO]  agent.server.raft: größe: k=\"日本\"\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			l, _ := open(t, Config{Level: "trace"}, &out)
			l = Named(Named(l, "agent"), "server.raft")
			if err := l.Handler().Handle(context.Background(), record(tc.level, tc.msg, tc.args...)); err != nil {
				t.Fatal(err)
			}
			if got := out.String(); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestTextAgainstHCLog compares with the library whose format operators know. Its lines
// are ours for everything but hostile bytes.
func TestTextAgainstHCLog(t *testing.T) {
	stamp := regexp.MustCompile(`(?m)^\S+Z? `)
	for name, args := range map[string][]any{
		"none":          nil,
		"words":         {"a", "b", "c", "d/e.f:1"},
		"quoted":        {"a", "b c", "d", `say "x"`, "e", ""},
		"equals":        {"a", "b=c"},
		"numbers":       {"a", 1, "b", int64(-4), "c", uint8(9), "d", true},
		"duration":      {"a", 3 * time.Second},
		"error":         {"error", errors.New("some text")},
		"lines":         {"error", errors.New("1 error occurred:\n\t* x\n\n")},
		"lines between": {"a", 1, "b", "x\ny", "c", 2},
		"list":          {"a", []string{"x", "y z"}},
	} {
		t.Run(name, func(t *testing.T) {
			var ours, theirs bytes.Buffer
			l, _ := open(t, Config{Level: "trace"}, &ours)
			HCLog(l).Named("agent").Warn("message", args...)
			hclog.New(&hclog.LoggerOptions{Name: "agent", Output: &theirs}).Warn("message", args...)
			got, want := stamp.ReplaceAllString(ours.String(), ""), stamp.ReplaceAllString(theirs.String(), "")
			if got != want {
				t.Errorf("got  %q\nwant %q", got, want)
			}
		})
	}
}

func TestNamedKeepsPairsAndGroups(t *testing.T) {
	var out bytes.Buffer
	l, _ := open(t, Config{}, &out)
	base := Named(l, "agent").With("node", "n1")
	one, two := Named(base, "one").With("a", 1), Named(base, "two").WithGroup("g").With("b", 2)
	one.Info("x", "c", 3)
	two.Info("y", "d", 4)
	base.Info("z")
	var got []string
	for line := range strings.Lines(out.String()) {
		_, rest, _ := strings.Cut(line, "  ")
		got = append(got, rest)
	}
	want := []string{"agent.one: x: node=n1 a=1 c=3\n", "agent.two: y: node=n1 g.b=2 g.d=4\n", "agent: z: node=n1\n"}
	if strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkText(b *testing.B) {
	l, _ := open(b, Config{}, io.Discard)
	l = Named(l, "agent").With(Node, "n1")
	b.ReportAllocs()
	for b.Loop() {
		l.Info("Synced service", Service, "web", Index, uint64(42), "note", "two words")
	}
}

func BenchmarkDisabled(b *testing.B) {
	l, _ := open(b, Config{}, io.Discard)
	b.ReportAllocs()
	for b.Loop() {
		l.Debug("Synced service", Service, "web")
	}
}
