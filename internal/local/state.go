package local

import (
	"context"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
)

// key names a service or a check on this agent.
type key struct{ namespace, id string }

// source says who registered something.
type source string

const (
	fromAPI  source = "remote"
	fromFile source = "local" // a configuration file; it is not kept, the file is
)

// version counts the changes of an item, and says which of them the catalog has.
type version struct{ now, synced uint64 }

func (v *version) change()    { v.now++ }
func (v version) dirty() bool { return v.now != v.synced }

// serviceItem is a registered service. What it points at is never changed, only replaced.
type serviceItem struct {
	*catalog.Service
	token  logging.Secret // it was registered with; "" is none
	source source
	parent string // ID of the service that this sidecar was registered with; "" is none
	version
}

// checkItem is a registered check.
type checkItem struct {
	def    check.Definition
	check  catalog.Check // as it is shown and synced
	token  logging.Secret
	source source
	runner check.Runner       // nil in maintenance: nothing is to be run
	stop   context.CancelFunc // of the runner; nil while it does not run
	since  time.Time          // when it became critical; zero while it is not
	saved  statusFile         // of a TTL check, as it was kept last; State.turn guards it
	late   *time.Timer        // news of its output alone that wait; nil if there are none
	version

	exposed exposure // through the service's sidecar; zero is directly
}

// removed is what the catalog is still to forget.
type removed struct {
	token     logging.Secret
	source    source
	serviceID string // of a check: the service it belongs to
}

// State is what is registered with this agent. It is safe for concurrent use.
//
// It has one goroutine in Run and one for each check that runs at an interval.
type State struct {
	cfg   Config
	grace time.Duration // for which a registration waits for the catalog

	// turn is held by whoever changes what is registered, so that the files
	// are written in the order of the changes. It is taken before mu.
	turn sync.Mutex

	mu              sync.Mutex // guards what follows
	services        map[key]*serviceItem
	checks          map[key]*checkItem
	removedServices map[key]removed
	removedChecks   map[key]removed
	changed         chan struct{} // closed, and replaced, when an answer may have changed
	running         bool
	nodeSeen        bool          // in the catalog, at the last comparison
	nodeSynced      bool          // the catalog has it as it is
	stepped         chan struct{} // closed, and replaced, when the catalog was written to, or could not be
	runners         sync.WaitGroup

	dirty chan struct{} // receives after a change that the catalog is to have
	whole chan struct{} // receives when everything is to be compared with the catalog
}

// Open returns a State with what was registered over the API before a restart.
// Nothing runs yet. What cannot be read is logged and left out.
func Open(cfg Config) (*State, error) {
	s := &State{
		cfg: cfg, grace: syncGrace,
		services: map[key]*serviceItem{}, checks: map[key]*checkItem{},
		removedServices: map[key]removed{}, removedChecks: map[key]removed{},
		changed: make(chan struct{}), stepped: make(chan struct{}), dirty: make(chan struct{}, 1), whole: make(chan struct{}, 1),
	}
	err := s.restore()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expose()
	return s, err
}

// Run runs the checks and keeps the catalog in step, until ctx is done.
func (s *State) Run(ctx context.Context) error {
	s.mu.Lock()
	s.running = true
	for _, c := range s.checks {
		s.start(c)
	}
	s.mu.Unlock()
	defer s.runners.Wait()
	defer s.stopAll()
	return s.keepInStep(ctx)
}

// start runs a check. s.mu is held.
func (s *State) start(c *checkItem) {
	if !s.running || c.runner == nil || c.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	s.runners.Go(func() { c.runner.Run(ctx) })
}

// end ends what a check has under way. s.mu is held.
func (c *checkItem) end() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
	if c.late != nil {
		c.late.Stop()
		c.late = nil
	}
}

func (s *State) stopAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	for _, c := range s.checks {
		c.end()
	}
}

// tell wakes who waits for a change, and the sync. s.mu is held.
func (s *State) tell() {
	s.tellReaders()
	wake(s.dirty)
}

func (s *State) tellReaders() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// wake makes a receiver look once, however often it is called before it does.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Changed returns a channel that is closed when something that is registered
// here, or its health, has changed after the call.
func (s *State) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Compare makes everything be compared with the catalog soon: a token of the
// agent is another, or servers are back.
func (s *State) Compare() { wake(s.whole) }

// Counts says how much is registered.
func (s *State) Counts() (services, checks, ttls, monitors int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.checks {
		switch _, isTTL := c.runner.(*check.TTL); {
		case isTTL:
			ttls++
		case c.def.Scripted():
			monitors++
		}
	}
	return len(s.services), len(s.checks), ttls, monitors
}
