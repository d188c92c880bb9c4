//go:build !windows && !plan9

package check

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestScriptFlips(t *testing.T) {
	code := filepath.Join(t.TempDir(), "code")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(code+"~", []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(code+"~", code); err != nil {
			t.Fatal(err)
		}
	}
	write("0")
	w := watch(t, Definition{Args: []string{"/bin/sh", "-c", `read c <"$0"; echo code; echo $c >&2; exit $c`, code}}, Options{Scripts: true})
	w.until(Passing, "code\n0\n")
	write("1")
	w.until(Warning, "code\n1\n")
	write("2")
	w.until(Critical, "code\n2\n")
	write("0")
	w.until(Passing, "code\n0\n")
}

func TestScriptThatIsNotThere(t *testing.T) {
	watch(t, Definition{Args: []string{"/nonexistent/check"}}, Options{Scripts: true}).until(Critical, "no such file or directory")
}

func TestScriptOutputKeepsTheEnd(t *testing.T) {
	w := watch(t, Definition{Args: []string{"/bin/sh", "-c", `i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done`}, OutputMaxSize: 100}, Options{Scripts: true})
	if got := w.next(); got.Status != Passing || len(got.Output) > 100 || !strings.HasPrefix(got.Output, "Captured 100 of ") || !strings.HasSuffix(got.Output, "line 2999\n") {
		t.Errorf("%d bytes: %q", len(got.Output), got)
	}
}

// TestScriptIsKilledWithItsChildren reads from a pipe that a grandchild holds
// open for writing: it ends when the last of them is gone.
func TestScriptIsKilledWithItsChildren(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := &timeout{Context: t.Context(), done: make(chan struct{})}
	p := &scriptProbe{args: []string{"/bin/sh", "-c", `(exec >"$0"; echo begun; sleep 1000) & wait`, path}, max: 100}
	result := make(chan Status, 1)
	go func() { result <- p.probe(ctx) }()
	pipe, err := os.Open(path) // waits for the grandchild
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	if err := pipe.SetReadDeadline(time.Now().Add(tooLong)); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(pipe)
	if line, err := in.ReadString('\n'); err != nil || line != "begun\n" {
		t.Errorf("%q, %v", line, err)
	}
	close(ctx.done)
	if got := <-result; got.Status != Critical || !strings.Contains(got.Output, "Timed out (") {
		t.Errorf("%+v", got)
	}
	if line, err := in.ReadString('\n'); line != "" || !errors.Is(err, io.EOF) {
		t.Errorf("a child lives on: %q, %v", line, err)
	}
}

// timeout is the context of a probe, whose time is over when a test says so.
type timeout struct {
	context.Context
	done chan struct{}
}

func (c *timeout) Done() <-chan struct{} { return c.done }

func (c *timeout) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
