package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

// The kinds of a sink.
const (
	TypeFile   = "file"
	TypeSyslog = "syslog"
)

// Config is what a trail is written with.
type Config struct {
	Sinks   []Sink
	KeyFile string // of the key that hashes values; it is made if there is none; "" is a key of this process alone
	Host    string // that syslog names
	Log     *slog.Logger

	Stdout, Stderr io.Writer        // nil is the process's own
	Now            func() time.Time // nil is time.Now
}

// Sink is one place that events go to.
type Sink struct {
	Name     string
	Type     string // TypeFile or TypeSyslog
	Path     string // a file, /dev/stdout, /dev/stderr or /dev/null; or what ParseSyslog reads
	Enforced bool   // no operation without its event on disk; for files alone

	// Include and Exclude are patterns of operations such as "GET /v1/kv/*" or
	// "acl.token.*". No Include is every operation.
	Include, Exclude []string

	Mode           os.FileMode // of a new file; 0 is 0600
	RotateBytes    int64       // 0 is never, as for the next
	RotateDuration time.Duration
	MaxFiles       int // rotated files that are kept; 0 keeps all

	now func() time.Time
}

func (c *Config) now() time.Time {
	if c.Now != nil {
		return c.Now()
	}
	return time.Now()
}

// Check says what is wrong with a sink, without opening it.
func (c Sink) Check() error {
	if _, err := newFilter(c.Include, c.Exclude); err != nil {
		return err
	}
	switch {
	case c.Type == TypeSyslog && c.Enforced, c.Enforced && IsStream(c.Path):
		return errors.New(`delivery_guarantee "enforced" needs a file: nothing else confirms that an event is kept`)
	case c.Type == TypeSyslog:
		_, _, err := ParseSyslog(c.Path)
		return err
	case c.Path == "":
		return errors.New("path cannot be empty")
	case c.RotateBytes < 0 || c.RotateDuration < 0 || c.MaxFiles < 0:
		return errors.New("rotate_bytes, rotate_duration and rotate_max_files cannot be negative")
	case c.Mode != 0 && c.Mode&0o200 == 0:
		return errors.New("mode must let the owner write")
	}
	return nil
}

// Log is an open trail. It is safe for concurrent use.
type Log struct {
	cfg    Config
	hasher hasher
	sinks  []*sink
	close  sync.Once
}

// Open opens every sink. A chain that a file holds goes on there; what was wrong with its
// end becomes its next event.
func Open(cfg Config) (*Log, error) {
	l := &Log{cfg: cfg}
	var err error
	if l.hasher, err = openHasher(cfg.KeyFile); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	for _, c := range cfg.Sinks {
		if err := l.add(c); err != nil {
			l.Close()
			return nil, fmt.Errorf("audit sink %q: %w", c.Name, err)
		}
	}
	return l, nil
}

func (l *Log) add(c Sink) error {
	if err := c.Check(); err != nil {
		return err
	}
	c.now = l.cfg.now
	f, err := newFilter(c.Include, c.Exclude)
	if err != nil {
		return err
	}
	out, at, err := openOutput(c, l.cfg)
	if err != nil {
		return err
	}
	if at.id == "" {
		at.link = newChain()
	}
	s := &sink{
		name: c.Name, enforced: c.Enforced, filter: f, out: out, link: at.link, notesLeft: at.notes(),
		queue: make(chan entry, queueLength), control: make(chan func()),
		closing: make(chan struct{}), closed: make(chan struct{}), log: l.cfg.Log, now: l.cfg.now,
	}
	l.sinks = append(l.sinks, s)
	go s.run()
	return nil
}

// Hash returns what stands for value in an event: always the same for the same, with the same key.
func (l *Log) Hash(value string) string { return l.hasher.sum(value) }

// NewHash returns a hash of something long, for SumHash.
func (l *Log) NewHash() hash.Hash { return l.hasher.begin() }

// SumHash returns what Hash would of all that was written to h.
func (l *Log) SumHash(h hash.Hash) string { return hashPrefix + hex.EncodeToString(h.Sum(nil)) }

// Stats counts events since the start.
type Stats struct {
	Written uint64
	Lost    uint64 // that a sink should have, and has not
}

// Stats returns the counts of all sinks together.
func (l *Log) Stats() Stats {
	var sum Stats
	for _, s := range l.sinks {
		sum.Written += s.written.Load()
		sum.Lost += s.lost.Load()
	}
	return sum
}

// Reopen opens files by their names again, for after somebody has moved them. It goes on with the
// open one where that fails.
func (l *Log) Reopen() error {
	var failed []error
	for _, s := range l.sinks {
		result := make(chan error, 1)
		select {
		case s.control <- func() { result <- s.out.reopen() }:
			if err := <-result; err != nil {
				failed = append(failed, fmt.Errorf("audit sink %q: %w", s.name, err))
			}
		case <-s.closed:
		}
	}
	return errors.Join(failed...)
}

// Close writes what waits and closes every sink. Events that come later are lost.
func (l *Log) Close() {
	l.close.Do(func() {
		for _, s := range l.sinks {
			close(s.closing)
		}
		for _, s := range l.sinks {
			<-s.closed
		}
	})
}

// Record is an operation that has begun.
type Record struct {
	log     *Log
	sinks   []*sink
	request *Request
	auth    *Auth
	subject []byte // who and what, as both events have it
}

// Begin writes the event before an operation acts. After an error, which wraps
// ErrUnavailable, it must not act; Complete is called all the same. The Record is nil, and
// may be used so, if no sink wants the operation.
func (l *Log) Begin(r *Request, auth *Auth) (*Record, error) {
	rec := &Record{log: l, request: r, auth: auth}
	for _, s := range l.sinks {
		if s.filter.wants(r) {
			rec.sinks = append(rec.sinks, s)
		}
	}
	if len(rec.sinks) == 0 {
		return nil, nil
	}
	happened := l.cfg.now()
	rec.subject = appendSubject(make([]byte, 0, 512), r, auth)
	b := appendOpening(make([]byte, 0, 256+len(rec.subject)), "HTTPEvent", happened, l.cfg.now())
	b = append(b, rec.subject...)
	b = append(b, '}')
	return rec, rec.put(appendStage(b, stageStart))
}

// Enforced reports whether a sink that wants the operation is enforced, so that its answer has to wait
// for Complete.
func (rec *Record) Enforced() bool {
	if rec == nil {
		return false
	}
	for _, s := range rec.sinks {
		if s.enforced {
			return true
		}
	}
	return false
}

// Complete writes the event with the answer. After an error, which wraps
// ErrUnavailable, the answer must not leave.
func (rec *Record) Complete(r Result) error {
	if rec == nil {
		return nil
	}
	happened := rec.log.cfg.now()
	if r.Endpoint != "" {
		rec.request.Endpoint = r.Endpoint
		rec.subject = appendSubject(rec.subject[:0], rec.request, rec.auth)
	}
	b := appendOpening(make([]byte, 0, 384+len(rec.subject)), "HTTPEvent", happened, rec.log.cfg.now())
	b = append(b, rec.subject...)
	if r.Body != nil {
		b = append(appendName(b, "body"), r.Body...)
	}
	b = appendResult(append(b, '}'), &r)
	return rec.put(appendStage(b, stageComplete))
}

// put hands an event to every sink, to those that are enforced at the same time. A sink that
// fails gets no further event of the operation.
func (rec *Record) put(event []byte) error {
	if len(rec.sinks) == 1 {
		err := rec.sinks[0].put(event)
		if err != nil {
			rec.sinks = nil
		}
		return err
	}
	results := make([]error, len(rec.sinks))
	var writing sync.WaitGroup
	for i, s := range rec.sinks {
		if s.enforced {
			writing.Go(func() { results[i] = s.put(event) })
		} else {
			results[i] = s.put(event)
		}
	}
	writing.Wait()
	kept := rec.sinks[:0]
	for i, s := range rec.sinks {
		if results[i] == nil {
			kept = append(kept, s)
		}
	}
	rec.sinks = kept
	return errors.Join(results...)
}
