package ecs

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/lictor/lictor/internal/sleep"
)

// await waits until the log has text.
func (w *world) await(text string) {
	w.t.Helper()
	for !strings.Contains(w.log.String(), text) {
		if !sleep.For(w.t.Context(), 1e6) {
			w.t.Fatalf("%q never comes:\n%s", text, w.log)
		}
	}
}

func (w *world) start(signals <-chan os.Signal, args ...string) <-chan int {
	code := make(chan int, 1)
	go func() { code <- Run(w.t.Context(), w.env("", signals), args) }()
	return code
}

const child = `trap 'echo got TERM; exit 7' TERM; trap 'echo got HUP' HUP; echo up; while :; do sleep 0.01; done`

func TestTheChildsCodeIsTheExitCode(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "kill -KILL $$": 255} {
		w := newWorld(t)
		if got := <-w.start(nil, "app-entrypoint", "sh", "-c", script); got != want {
			t.Errorf("%q: exit code %d, want %d", script, got, want)
		}
	}
	w := newWorld(t)
	if got := <-w.start(nil, "app-entrypoint", "/nope"); got != 1 || !strings.Contains(w.log.String(), "consul-ecs: starting process: error=") {
		t.Errorf("exit code %d:\n%s", got, w.log)
	}
}

func TestTheApplicationGoesOnForAWhile(t *testing.T) {
	w := newWorld(t)
	signals := make(chan os.Signal, 1)
	code := w.start(signals, "app-entrypoint", "-shutdown-delay", "30ms", "sh", "-c", child)
	w.await("up")
	signals <- syscall.SIGHUP
	w.await("got HUP")
	signals <- syscall.SIGTERM
	w.await("received sigterm. waiting 30ms before terminating application.")
	if got := <-code; got != 7 || !strings.Contains(w.log.String(), "got TERM") {
		t.Errorf("exit code %d:\n%s", got, w.log)
	}
}

func TestASecondSignalDoesNotWait(t *testing.T) {
	w := newWorld(t)
	signals := make(chan os.Signal, 1)
	code := w.start(signals, "app-entrypoint", "-shutdown-delay", "1h", "sh", "-c", child)
	w.await("up")
	signals <- syscall.SIGTERM
	w.await("received sigterm")
	signals <- syscall.SIGTERM
	if got := <-code; got != 7 {
		t.Errorf("exit code %d", got)
	}
}

func TestEnvoyOutlivesTheApplication(t *testing.T) {
	w := newWorld(t)
	w.set("app", "HEALTHY")
	w.set("consul-client", "")
	signals := make(chan os.Signal, 1)
	code := w.start(signals, "envoy-entrypoint", "sh", "-c", child)
	w.await("up")
	signals <- syscall.SIGTERM
	w.await("waiting for application container(s) to stop")
	if strings.Contains(w.log.String(), "got TERM") {
		t.Error("Envoy was terminated while the application runs")
	}
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	if got := <-code; got != 7 || !strings.Contains(w.log.String(), "application container(s) have stopped, terminating envoy") {
		t.Errorf("exit code %d:\n%s", got, w.log)
	}
}
