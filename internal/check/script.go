package check

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// scriptProbe runs a command: exit code 0 passes, 1 warns, any other fails.
type scriptProbe struct {
	args []string
	max  int
}

// leftover is how long the output of a command that has ended is waited for:
// what it has left running may hold it open.
const leftover = time.Second

func (p *scriptProbe) probe(ctx context.Context) Status {
	code, output, err := run(ctx, p.max, p.args)
	if err != nil {
		return failure(err)
	}
	return Status{statusOfExit(code), output}
}

func statusOfExit(code int) string {
	switch code {
	case 0:
		return Passing
	case 1:
		return Warning
	}
	return Critical
}

// run runs a command until ctx ends, then kills it with everything that it has
// started. It returns the exit code, -1 for the end by a signal, and the end of
// what the command wrote, in at most limit bytes.
func run(ctx context.Context, limit int, args []string) (code int, output string, err error) {
	start := time.Now()
	out := &tail{limit: limit}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = leftover
	killTogether(cmd)
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return 0, "", fmt.Errorf("Timed out (%v) running check", time.Since(start).Round(time.Millisecond))
	case errors.As(err, &exit):
		return exit.ExitCode(), out.String(), nil
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return 0, "", err
	}
	return 0, out.String(), nil
}

// tail keeps the end of what is written to it, where most programs say what
// went wrong.
type tail struct {
	limit int
	last  []byte // at most twice limit
	total int64
}

func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	t.total += int64(n)
	t.last = append(t.last, b[max(0, n-t.limit):]...)
	if over := len(t.last) - t.limit; over > t.limit {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return n, nil
}

// String returns everything, or a line that says how much is missing and as
// much of the end as there is room for.
func (t *tail) String() string {
	if t.total <= int64(t.limit) {
		return string(t.last)
	}
	head := fmt.Sprintf("Captured %d of %d bytes\n...\n", t.limit, t.total)
	if len(head) > t.limit {
		head = ""
	}
	end := string(t.last[len(t.last)-t.limit+len(head):])
	return head + strings.ToValidUTF8(end, "")
}
