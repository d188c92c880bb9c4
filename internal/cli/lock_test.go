package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestLockComplaints(t *testing.T) {
	for _, tc := range []struct{ command, err string }{
		{"lock", "Key prefix and child command must be specified"},
		{"lock a", "Key prefix and child command must be specified"},
		{"lock -n 0 a true", "Lock holder limit must be positive"},
		{"lock -timeout -1s a true", "Timeout must be positive"},
		{"lock a true", "Lock acquisition failed: failed to create session: Unexpected response code: 403 (no)"},
	} {
		t.Run(tc.command, func(t *testing.T) {
			got := newAPI(t, answers{"PUT /v1/session/create": "403 no"}).run(t, strings.Fields(tc.command)...)
			if got.code != 1 || got.err != tc.err+"\n" {
				t.Errorf("%+v", got)
			}
		})
	}
}

// playedLock is a lock whose calls are written down.
func playedLock(lost <-chan struct{}, err error, calls *[]string) heldLock {
	inUse := errors.New("in use")
	note := func(name string, err error) func() error {
		return func() error { *calls = append(*calls, name); return err }
	}
	return heldLock{
		lock:   func(<-chan struct{}) (<-chan struct{}, error) { *calls = append(*calls, "lock"); return lost, err },
		unlock: note("unlock", nil), destroy: note("destroy", inUse), inUse: inUse,
	}
}

func TestHoldingALock(t *testing.T) {
	kept, gone := make(chan struct{}), make(chan struct{})
	close(gone)
	for _, tc := range []struct {
		name     string
		f        lockFlags
		command  []string
		lost     chan struct{}
		err      error
		out, say string
		code     error
		calls    string
	}{
		{"the command runs", lockFlags{inShell: true}, []string{"echo", "$CONSUL_LOCK_HELD"}, kept, nil, "true\n", "", nil, "lock unlock destroy"},
		{"with what happens", lockFlags{verbose: true}, []string{"echo", "a"}, kept, nil,
			"Attempting lock acquisition\nStarting handler 'echo a'\na\nLock released\n", "", nil, "lock unlock destroy"},
		{"with standard input", lockFlags{passStdin: true}, []string{"cat"}, kept, nil, "typed", "", nil, "lock unlock destroy"},
		{"a failure is told", lockFlags{inShell: true}, []string{"exit 3"}, kept, nil, "", "Error running handler: exit status 3\n", nil, "lock unlock destroy"},
		{"and becomes the exit code", lockFlags{inShell: true, childExit: true}, []string{"exit 3"}, kept, nil, "", "Error running handler: exit status 3\n", ExitCode(2), "lock unlock destroy"},
		{"the lock is lost", lockFlags{}, []string{"sleep", "100"}, gone, nil, "", "Error running handler: the lock was lost\n", ExitCode(1), "lock unlock destroy"},
		{"nobody gives it up", lockFlags{}, []string{"true"}, nil, nil, "", "", errors.New("Lock acquisition timed out"), "lock"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			var calls []string
			env := &Env{In: strings.NewReader("typed"), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}
			var lost <-chan struct{}
			if tc.lost != nil {
				lost = tc.lost
			}
			err := tc.f.hold(t.Context(), env, playedLock(lost, tc.err, &calls), tc.command)
			if (err == nil) != (tc.code == nil) || err != nil && err.Error() != tc.code.Error() {
				t.Errorf("got %v, want %v", err, tc.code)
			}
			if out.String() != tc.out || errs.String() != tc.say || strings.Join(calls, " ") != tc.calls {
				t.Errorf("stdout %q, stderr %q, calls %q", out.String(), errs.String(), calls)
			}
		})
	}
}
