package faults

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is a read or a write of a register as its caller saw it. Times are of
// one monotonic clock.
type operation struct {
	caller       int
	register     string
	write        bool
	value        string // written, or read
	call, answer int64  // answer is math.MaxInt64 if none came: a write may apply at any time
}

// history is everything that was done. Values are never written twice.
type history struct {
	mu    sync.Mutex
	began time.Time
	ops   []operation
	lost  int // reads without an answer, which say nothing
}

func newHistory() *history { return &history{began: time.Now()} }

func (h *history) now() int64 { return int64(time.Since(h.began)) }

// write notes a write that was asked for at a time and has ended now.
func (h *history) write(caller int, register, value string, call int64, err error) {
	answer := h.now()
	if err != nil {
		answer = math.MaxInt64
	}
	h.add(operation{caller, register, true, value, call, answer})
}

// read notes a read.
func (h *history) read(caller int, register, value string, call int64, err error) {
	if err != nil {
		h.mu.Lock()
		h.lost++
		h.mu.Unlock()
		return
	}
	h.add(operation{caller, register, false, value, call, h.now()})
}

func (h *history) add(op operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, op)
}

// counts of what a history holds.
type counts struct{ reads, writes, open, lost int }

func (h *history) counts() counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := counts{lost: h.lost}
	for _, op := range h.ops {
		switch {
		case !op.write:
			c.reads++
		case op.answer == math.MaxInt64:
			c.open++
		default:
			c.writes++
		}
	}
	return c
}

// oneRegister is what a register does.
var oneRegister = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		op := input.(operation)
		if op.write {
			return true, op.value
		}
		return op.value == state.(string), state
	},
	Equal: func(a, b any) bool { return a.(string) == b.(string) },
	DescribeOperation: func(input, _ any) string {
		op := input.(operation)
		if op.write {
			return "write " + op.value
		}
		return "read " + op.value
	},
}

var errUndecided = errors.New("not decided in time")

// linearizable returns an error if some register's operations cannot have
// happened one after the other, each between its call and its answer.
func (h *history) linearizable(timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	byRegister := map[string][]operation{}
	for _, op := range h.ops {
		byRegister[op.register] = append(byRegister[op.register], op)
	}
	for name, ops := range byRegister {
		switch porcupine.CheckOperationsTimeout(oneRegister, prepare(ops), max(time.Until(deadline), time.Millisecond)) {
		case porcupine.Illegal:
			return fmt.Errorf("register %s: %d operations are not linearizable", name, len(ops))
		case porcupine.Unknown:
			return fmt.Errorf("register %s: %d operations: %w", name, len(ops), errUndecided)
		case porcupine.Ok:
		}
	}
	return nil
}

// prepare narrows down the writes without an answer, as every value is written
// once: one that was never read changes nothing that anybody saw, and one that was read has
// happened by then.
func prepare(ops []operation) []porcupine.Operation {
	seen := map[string]int64{} // by value, when it was first read
	for _, op := range ops {
		if first, ok := seen[op.value]; !op.write && (!ok || op.answer < first) {
			seen[op.value] = op.answer
		}
	}
	var prepared []porcupine.Operation
	for _, op := range ops {
		if op.write && op.answer == math.MaxInt64 {
			first, read := seen[op.value]
			if !read {
				continue
			}
			op.answer = max(first, op.call) // a value from the future is for the check to find
		}
		prepared = append(prepared, porcupine.Operation{ClientId: op.caller, Input: op, Call: op.call, Return: op.answer})
	}
	return prepared
}

func TestHistoriesAreJudged(t *testing.T) {
	const open = math.MaxInt64
	w := func(value string, call, answer int64) operation { return operation{0, "r", true, value, call, answer} }
	r := func(value string, call, answer int64) operation { return operation{1, "r", false, value, call, answer} }
	for _, c := range []struct {
		name string
		ops  []operation
		good bool
	}{
		{"a read returns what was written", []operation{w("a", 0, 1), r("a", 2, 3)}, true},
		{"a read of an old value", []operation{w("a", 0, 1), w("b", 2, 3), r("a", 4, 5)}, false},
		{"a read beside a write returns either", []operation{w("a", 0, 1), w("b", 2, 9), r("a", 3, 4), r("b", 5, 6)}, true},
		{"a read goes back", []operation{w("a", 0, 1), w("b", 2, 9), r("b", 3, 4), r("a", 5, 6)}, false},
		{"an acknowledged write is lost", []operation{w("a", 0, 1), r("", 2, 3)}, false},
		{"a write without an answer happens later", []operation{w("a", 0, 1), w("b", 2, open), r("a", 3, 4), r("b", 5, 6)}, true},
		{"a write without an answer never happens", []operation{w("a", 0, 1), w("b", 2, open), r("a", 3, 4)}, true},
		{"a write without an answer is undone", []operation{w("a", 0, 1), w("b", 2, open), r("b", 3, 4), r("a", 5, 6)}, false},
		{"a value is read before it is written", []operation{w("a", 0, 1), r("b", 2, 3), w("b", 4, open)}, false},
		{"a value that nobody wrote", []operation{w("a", 0, 1), r("c", 2, 3)}, false},
	} {
		err := (&history{ops: c.ops}).linearizable(time.Second)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
