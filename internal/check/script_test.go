//go:build !windows && !plan9

package check

import (
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
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := make(chan string, 1)
	go func() {
		b, err := os.ReadFile(pipe)
		if err != nil {
			b = []byte(err.Error())
		}
		read <- string(b)
	}()
	d := Definition{Args: []string{"/bin/sh", "-c", `(exec >"$0"; echo begun; sleep 1000) & wait`, pipe}, Timeout: 300 * time.Millisecond}
	o := Options{Scripts: true}
	w := watch(t, d, o)
	w.until(Critical, "Timed out (")
	select {
	case got := <-read:
		if got != "begun\n" {
			t.Errorf("%q", got)
		}
	case <-time.After(tooLong):
		t.Error("a child lives on")
	}
}
