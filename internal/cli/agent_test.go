package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lictor/lictor/internal/daemon"
)

// agentWorld is a command line whose agent does run.
func agentWorld(run runDaemon) world {
	return world{root: &Command{Name: "consul", Sub: []*Command{agent(run)}}}
}

var logTime = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z `)

const (
	testNode = "0a1b2c3d-0000-4000-8000-000000000001"
	testKey  = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
)

func TestBanner(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
	}{
		{"agent_server", []string{"-server", "-bootstrap-expect=1", "-encrypt", testKey, "-client", "127.0.0.1 ::1",
			"-hcl", `acl { enabled = true default_policy = "deny" }`}},
		{"agent_client", []string{"-retry-join", "10.0.0.1", "-hcl", `auto_encrypt { tls = true } ports { dns = 8600 }`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := agentWorld(func(_ context.Context, _ daemon.Config, o daemon.Options) error {
				o.Ready()
				return nil
			})
			args := []string{"agent", "-data-dir", t.TempDir(), "-node", "srv1", "-node-id", testNode, "-bind", "10.0.0.4"}
			got := w.run(t, append(args, tc.args...)...)
			if got.code != 0 || got.err != "" {
				t.Fatalf("exit code %d, stderr %q", got.code, got.err)
			}
			golden(t, tc.name, logTime.ReplaceAllString(got.out, ""))
		})
	}
}

func TestHowAnAgentEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		run   runDaemon
		code  int
		last  string
		nolog string
	}{
		{"it leaves", func(context.Context, daemon.Config, daemon.Options) error { return nil }, 0, "[INFO]  agent: Exit code: code=0\n", "[ERROR]"},
		{"a signal stops it", func(context.Context, daemon.Config, daemon.Options) error { return daemon.ErrStopped }, 1, "[INFO]  agent: Exit code: code=1\n", "[ERROR]"},
		{"it cannot start", func(context.Context, daemon.Config, daemon.Options) error { return errors.New("port taken") }, 1,
			"[ERROR] agent: Error starting agent: error=\"port taken\"\n[INFO]  agent: Exit code: code=1\n", "Error running"},
		{"it fails later", func(_ context.Context, _ daemon.Config, o daemon.Options) error {
			o.Ready()
			return errors.New("disk full")
		}, 1, "[ERROR] agent: Error running agent: error=\"disk full\"\n[INFO]  agent: Exit code: code=1\n", "Error starting"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := agentWorld(tc.run).run(t, "agent", "-dev")
			if got.code != tc.code || got.err != "" {
				t.Errorf("exit code %d, stderr %q", got.code, got.err)
			}
			out := logTime.ReplaceAllString(got.out, "")
			if !strings.HasSuffix(out, tc.last) || strings.Contains(out, tc.nolog) {
				t.Errorf("printed %q, want it to end in %q", out, tc.last)
			}
		})
	}
}

func TestAgentComplaints(t *testing.T) {
	bad := write(t, "bad.hcl", "bogus_key = 1")
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing configured", nil, "==> data_dir cannot be empty\n"},
		{"unknown key", []string{"-config-file", bad}, "==> failed to parse " + bad + ": 1 error occurred:\n\t* invalid config key bogus_key\n\n\n"},
		{"both bootstrap forms", []string{"-data-dir=/d", "-server", "-bind=127.0.0.1", "-bootstrap", "-bootstrap-expect=2"},
			"==> 'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive\n"},
		{"a data directory that is a file", []string{"-data-dir", bad, "-bind=127.0.0.1"}, "==> data_dir: mkdir " + bad + ": not a directory\n"},
		{"a log file that cannot be", []string{"-dev", "-log-file", bad + "/x.log"}, "==> mkdir " + bad + ": not a directory\n"},
		{"a pid file that cannot be", []string{"-dev", "-pid-file", bad + "/pid"}, "==> pid_file: open " + bad + "/pid: not a directory\n"},
		{"arguments", []string{"-dev", "extra"}, "==> unexpected arguments: extra\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := agentWorld(func(context.Context, daemon.Config, daemon.Options) error {
				t.Error("the agent ran")
				return nil
			})
			if got := w.run(t, append([]string{"agent"}, tc.args...)...); got.code != 1 || got.out != "" || got.err != tc.want {
				t.Errorf("got %+v, want %q", got, tc.want)
			}
		})
	}
	got := agentWorld(nil).run(t, "agent", "-bogus")
	if got.code != 1 || !strings.HasPrefix(got.err, "==> error parsing flags: flag provided but not defined: -bogus\n") {
		t.Errorf("unknown flag: %+v", got)
	}
}

// TestReloadReadsTheSameSources changes a file while the agent runs, and sends it SIGHUP.
func TestReloadReadsTheSameSources(t *testing.T) {
	file := write(t, "a.hcl", `log_level = "error"`)
	pid := filepath.Join(t.TempDir(), "pid")
	w := agentWorld(func(_ context.Context, cfg daemon.Config, o daemon.Options) error {
		if text, err := os.ReadFile(pid); err != nil || string(text) != strconv.Itoa(os.Getpid()) {
			t.Errorf("pid file: %q, %v", text, err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			return err
		}
		if s := <-o.Signals; s != syscall.SIGHUP {
			t.Errorf("got signal %v", s)
		}
		if err := os.WriteFile(file, []byte(`log_level = "warn" acl { tokens { master = "m" } }`), 0o600); err != nil {
			return err
		}
		next, err := o.Reload()
		if err != nil {
			return err
		}
		if next.Log.Level != "warn" || next.NodeName != cfg.NodeName {
			t.Errorf("after the reload: level %q, node %q", next.Log.Level, next.NodeName)
		}
		if err := os.WriteFile(file, []byte(`log_level = 5`), 0o600); err != nil {
			return err
		}
		if _, err := o.Reload(); err == nil {
			t.Error("a broken file was reloaded")
		}
		if err := o.SetLevel("info"); err != nil {
			return err
		}
		o.Log.Info("now shown")
		return nil
	})
	got := w.run(t, "agent", "-dev", "-node", "n1", "-config-file", file, "-pid-file", pid)
	if got.code != 0 || !strings.Contains(got.out, "[INFO]  now shown\n") {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(pid); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the pid file is still there: %v", err)
	}
}
