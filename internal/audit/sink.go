package audit

import (
	"errors"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

const (
	queueLength  = 1024                   // events that wait for a sink's writer
	maxBatch     = 1 << 20                // bytes that are written at once
	keptBuffer   = 128 << 10              // bytes of memory that stay with a sink between two writes
	patience     = 250 * time.Millisecond // for how long an operation waits for room in the queue of a best-effort sink
	deadline     = 10 * time.Second       // for an enforced event to be on disk
	headInterval = time.Second
	complaints   = time.Minute // between two lines in the log about the same sink
)

// ErrUnavailable is the answer to an operation whose event an enforced sink cannot take.
var ErrUnavailable = errs.New(errs.Unavailable, "the audit trail cannot be written")

// sink is an output with its queue and the one goroutine that writes to it.
type sink struct {
	name     string
	enforced bool
	filter   filter
	queue    chan entry
	control  chan func()   // run by the writer
	closing  chan struct{} // closed when nothing more is taken
	closed   chan struct{} // closed when the writer has ended
	log      *slog.Logger
	now      func() time.Time

	written, lost atomic.Uint64
	stalled       atomic.Bool // nobody waits for room before the writer has caught up

	// What follows is the writer's.
	out       output
	link      link
	kept      link   // as the head says
	told      uint64 // of lost, how many the trail says
	complain  time.Time
	buf       []byte
	ends      []int
	after     []link // after each line of buf
	waiting   []chan<- error
	notesLeft []note
}

// entry is an event on its way to a sink.
type entry struct {
	event []byte // without its chain
	done  chan<- error
}

// note is an event about the sink itself.
type note struct {
	stage string
	count uint64
	hash  string
}

// put hands an event to the writer. Only an enforced sink returns an error.
func (s *sink) put(event []byte) error {
	if !s.enforced {
		if !s.enqueue(entry{event: event}, patience) {
			s.lost.Add(1)
		}
		return nil
	}
	done := make(chan error, 1)
	if !s.enqueue(entry{event, done}, deadline) {
		s.lost.Add(1)
		return ErrUnavailable
	}
	timer := time.NewTimer(deadline)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	case <-s.closed:
	}
	return ErrUnavailable
}

func (s *sink) enqueue(e entry, wait time.Duration) bool {
	select {
	case s.queue <- e:
		return true
	default:
	}
	if s.stalled.Load() {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s.queue <- e:
		return true
	case <-timer.C:
		s.stalled.Store(true)
	case <-s.closing:
	}
	return false
}

// run writes until the sink is closed, and then what is left.
func (s *sink) run() {
	defer close(s.closed)
	tick := time.NewTicker(headInterval)
	defer tick.Stop()
	s.tell()
	for {
		select {
		case e := <-s.queue:
			s.commit(e)
		case f := <-s.control:
			f()
		case <-tick.C:
			s.tell()
			s.keepHead()
		case <-s.closing:
			for len(s.queue) > 0 {
				s.commit(<-s.queue)
			}
			s.tell()
			s.keepHead()
			if err := s.out.close(); err != nil {
				s.warn("close", err)
			}
			return
		}
	}
}

// tell writes what there is to say about the sink itself, for which it else waits for an event.
func (s *sink) tell() {
	if len(s.notesLeft) > 0 || s.lost.Load() > s.told {
		s.commit(entry{})
	}
}

// commit writes first, if it is an event, and whatever waits behind it, with one write and one fsync.
func (s *sink) commit(first entry) {
	s.buf, s.ends, s.after, s.waiting = s.buf[:0], s.ends[:0], s.after[:0], s.waiting[:0]
	at := s.link
	lost := s.lost.Load()
	notes := s.notesLeft
	if lost > s.told {
		notes = append(notes, note{stage: "Lost", count: lost - s.told})
	}
	for _, n := range notes {
		s.add(&at, s.noteEvent(n))
	}
	if first.event != nil {
		s.add(&at, first.event)
		s.wait(first)
	}
	for len(s.buf) < maxBatch {
		select {
		case e := <-s.queue:
			s.add(&at, e.event)
			s.wait(e)
			continue
		default:
		}
		break
	}
	n, err := s.out.write(s.buf, s.ends, s.enforced)
	if err != nil {
		n, err = s.again(n, err)
	}
	if n > 0 {
		s.link = s.after[n-1]
	}
	if n >= len(notes) {
		s.told, s.notesLeft = lost, nil
	}
	s.written.Add(uint64(max(0, n-len(notes))))
	s.lost.Add(uint64(len(s.ends) - max(n, len(notes))))
	if err == nil && len(s.queue) == 0 {
		s.stalled.Store(false)
	}
	for _, done := range s.waiting {
		done <- err
	}
	if cap(s.buf) > keptBuffer {
		s.buf = nil
	}
}

func (s *sink) add(at *link, event []byte) {
	s.buf = at.seal(s.buf, event)
	s.ends = append(s.ends, len(s.buf))
	s.after = append(s.after, *at)
}

func (s *sink) wait(e entry) {
	if e.done != nil {
		s.waiting = append(s.waiting, e.done)
	}
}

// again opens the output anew and writes once more what it has not taken.
func (s *sink) again(taken int, failed error) (int, error) {
	if err := s.out.reopen(); err != nil {
		failed = errors.Join(failed, err)
	}
	from := 0
	if taken > 0 {
		from = s.ends[taken-1]
	}
	ends := make([]int, 0, len(s.ends)-taken)
	for _, end := range s.ends[taken:] {
		ends = append(ends, end-from)
	}
	n, err := s.out.write(s.buf[from:], ends, s.enforced)
	if err == nil {
		return taken + n, nil
	}
	s.warn("write", errors.Join(failed, err))
	return taken + n, ErrUnavailable
}

// noteEvent is an event about the sink itself.
func (s *sink) noteEvent(n note) []byte {
	now := s.now()
	b := appendOpening(nil, "SinkEvent", now, now)
	b = append(b, `,"sink":{`...)
	b = appendMember(b, "name", s.name)
	if n.count > 0 {
		b = strconv.AppendUint(appendName(b, "count"), n.count, 10)
	}
	b = appendMember(b, "sha256", n.hash)
	b = append(b, '}')
	return appendStage(b, n.stage)
}

// keepHead remembers where the chain ends, if it has moved.
func (s *sink) keepHead() {
	if s.link == s.kept {
		return
	}
	if err := s.out.keep(s.link); err != nil {
		s.warn("keep the head", err)
		return
	}
	s.kept = s.link
}

// warn logs what is wrong, but not every time.
func (s *sink) warn(doing string, err error) {
	if now := s.now(); now.Sub(s.complain) >= complaints {
		s.complain = now
		s.log.Error("the audit trail is incomplete", "sink", s.name, "failed_to", doing, "lost", s.lost.Load(), logging.Err, err)
	}
}
