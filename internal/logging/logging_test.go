package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	l, level := open(t, Config{Level: "Err"}, &out)
	l.Warn("hidden")
	if out.Len() > 0 {
		t.Errorf("a warning was logged at level ERR: %s", out.String())
	}
	if err := level.Set("trace"); err != nil {
		t.Fatal(err)
	}
	l.Log(context.Background(), LevelTrace, "shown")
	if !strings.Contains(out.String(), "[TRACE] shown") {
		t.Errorf("after the level became TRACE: %q", out.String())
	}
	err := level.Set("zz")
	if want := "Invalid log level: zz. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if level.Level() != LevelTrace {
		t.Errorf("level %v after a wrong name", level.Level())
	}
	if _, _, _, err := New(Config{Level: "zz"}, &out); err == nil {
		t.Error("New accepted an unknown level")
	}
}

func TestJSONLines(t *testing.T) {
	var out bytes.Buffer
	l, _ := open(t, Config{JSON: true}, &out)
	l = Named(l, "agent").With("token", Secret("s3cret"))
	r := record(slog.LevelWarn, "say \"x\"\n", "n", 5, "ok", true, Err, errors.New("a\nb"), "list", []string{"x", "y\x00"})
	if err := l.Handler().Handle(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	want := `{"@level":"warn","@message":"say \"x\"\n","@module":"agent","@timestamp":"2026-01-02T14:04:05.678900Z",` +
		`"token":"\u003chidden\u003e","n":5,"ok":true,"error":"a\nb","list":["x","y\u0000"]}` + "\n"
	got := strings.ReplaceAll(out.String(), "<hidden>", `\u003chidden\u003e`)
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid(out.Bytes()) {
		t.Error("not JSON")
	}
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	for _, tc := range []struct{ setting, want string }{
		{"a.txt", "a.txt"}, {"b", "b.log"}, {"sub/", "sub/consul.log"},
	} {
		if got := logPath(filepath.Join(dir, "x") + "/" + tc.setting); got != filepath.Join(dir, "x", tc.want) {
			t.Errorf("log_file %q means %s, want %s", tc.setting, got, tc.want)
		}
	}
	var out bytes.Buffer
	l, _, closer, err := New(Config{File: dir + "/logs/"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	l.Info("hello")
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "logs", "consul.log"))
	if err != nil || string(text) != out.String() || out.Len() == 0 {
		t.Errorf("file has %q (%v), output has %q", text, err, out.String())
	}
	if _, _, _, err := New(Config{Syslog: true, SyslogFacility: "nope"}, &out); err == nil {
		t.Error("an unknown syslog facility was accepted")
	}
}

func TestFileRotation(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, tc := range []struct {
		name  string
		cfg   FileConfig
		lines int
		want  []string // sizes of the files in name order, the current one last
	}{
		{"by bytes", FileConfig{RotateBytes: 20}, 5, []string{"20", "20", "10"}},
		{"by bytes, one old file kept", FileConfig{RotateBytes: 10, MaxFiles: 1}, 5, []string{"10", "10"}},
		{"by bytes, no old file kept", FileConfig{RotateBytes: 10, MaxFiles: -1}, 5, []string{"10"}},
		{"by age", FileConfig{RotateDuration: 80 * time.Minute}, 4, []string{"30", "10"}},
		{"never", FileConfig{}, 5, []string{"50"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			// Named like a rotated file, but not ours to delete.
			other := filepath.Join(dir, "log-notes.txt")
			if err := os.WriteFile(other, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			tc.cfg.Path = filepath.Join(dir, "log.txt")
			tc.cfg.Now = func() time.Time { now = now.Add(30 * time.Minute); return now }
			f, err := OpenFile(tc.cfg)
			if err != nil {
				t.Fatal(err)
			}
			for range tc.lines {
				if _, err := fmt.Fprint(f, "012345678\n"); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write([]byte("late\n")); !errors.Is(err, os.ErrClosed) {
				t.Errorf("a write after Close: %v", err)
			}
			if _, err := os.Stat(other); err != nil {
				t.Error(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var sizes []string
			for _, e := range entries {
				info, err := e.Info()
				if err != nil {
					t.Fatal(err)
				}
				if e.Name() != "log-notes.txt" {
					sizes = append(sizes, fmt.Sprint(info.Size()))
				}
			}
			if strings.Join(sizes, " ") != strings.Join(tc.want, " ") {
				t.Errorf("file sizes %v, want %v", sizes, tc.want)
			}
		})
	}
}
