package limit

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Defaults of a Queue.
const (
	DefaultSlots   = 64
	DefaultWaiting = 2048
	DefaultWait    = 10 * time.Second
)

// What a queue remembers of sources.
const (
	trustFor   = time.Minute
	doubtFor   = 10 * time.Second
	maxRecords = 4096
)

// Queue lets a number of callers do something at a time and has the others wait for their turn.
// A turn goes to the source that has the fewest now, and within a source to the identity that has the fewest; among
// equal ones to the identity that has the fewest in all, then to the source or identity that had the fewest lately,
// then to who came first. An identity is only claimed, so it counts for less than a source, which is
// proven by its connection: who claims somebody else's name from a source of their own takes no turn from them.
//
// A source has an eighth of the turns at most as long as nothing is known of it, and three quarters once
// it was accepted. Those that were refused share an eighth. Who never calls Note, and has less than 16 Slots, has one turn
// for each source.
//
// When too many wait, the newest of the source that has the most in the queue is refused. Only What
// has to be set. Set the fields before the first use.
type Queue struct {
	What    string        // is waited for, in the plural, as refusals say it: "logins are being verified"
	Slots   int           // turns at a time; 0 is DefaultSlots
	Waiting int           // callers that wait; 0 is DefaultWaiting
	MaxWait time.Duration // 0 is DefaultWait

	mu            sync.Mutex // guards what follows
	running       int
	refusedBefore int       // of those that run, whose source was refused before they began
	round         uint64    // of the last turn
	waiting       []*waiter // in the order in which they came
	parties       map[partyKey]*party
	records       map[string]record // of sources
	swept         time.Time         // when records were forgotten last
	refused       uint64
}

// record is what a queue remembers of a source, and until when.
type record struct {
	accepted bool
	until    time.Time
}

// partyKey names a source, an identity, or an identity of a source; the other part is empty.
type partyKey struct{ source, identity string }

// party is what one of them has.
type party struct {
	key              partyKey
	running, waiting int
	record           record // of a source
	round            uint64 // of its next turn, if each of its kind has one in each round
}

// waiter is a caller, while it waits and while it has its turn.
type waiter struct {
	source, identity, both *party
	refusedBefore          bool      // its source was, when the turn began
	turn                   chan bool // receives once: whether it has its turn
}

// Enter waits for a turn and returns what ends it. It returns a *Refused if there are too many
// others, or none of its turns comes in time, and ctx's error if that ends first.
func (q *Queue) Enter(ctx context.Context, source, identity string) (leave func(), err error) {
	w := q.line(source, identity)
	if w == nil {
		return nil, q.refuse()
	}
	patience := time.NewTimer(orElse(q.MaxWait, DefaultWait))
	defer patience.Stop()
	select {
	case mine := <-w.turn:
		if !mine {
			return nil, q.refuse()
		}
		return sync.OnceFunc(func() { q.leave(w) }), nil
	case <-patience.C:
		err = q.refuse()
	case <-ctx.Done():
		err = ctx.Err()
	}
	q.abandon(w)
	return nil, err
}

// Note says whether what a source had its turn for was accepted or refused. Callers that are refused
// again and again then cost little, whatever they ask for, and those that share their source are still served.
func (q *Queue) Note(source string, accepted bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	r, known := q.records[source]
	switch {
	case known && accepted && r.refused(now):
		return // until it is forgotten
	case !known && len(q.records) >= maxRecords:
		if now.Sub(q.swept) >= sweepEvery {
			q.swept = now
			maps.DeleteFunc(q.records, func(_ string, r record) bool { return !now.Before(r.until) })
		}
		if len(q.records) >= maxRecords {
			return
		}
	case q.records == nil:
		q.records = map[string]record{}
	}
	r = record{accepted, now.Add(doubtFor)}
	if accepted {
		r.until = now.Add(trustFor)
	}
	q.records[source] = r
	if p := q.parties[partyKey{source: source}]; p != nil {
		p.record = r
	}
}

func (r record) refused(now time.Time) bool { return !r.accepted && now.Before(r.until) }

// share returns how many of all turns a source with this record may have.
func (r record) share(slots int, now time.Time) int {
	if r.accepted && now.Before(r.until) {
		return max(1, slots-slots/4)
	}
	return few(slots)
}

// few returns how many turns there are for a source that nothing is known of, and for all together that were refused.
func few(slots int) int { return max(1, slots/8) }

// Stats returns how many have their turn, how many wait, and how many were refused so far.
func (q *Queue) Stats() (running, waiting int, refused uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.running, len(q.waiting), q.refused
}

// line puts a caller into the queue. It returns nil where that is full of others who have no more
// there than this caller's source.
func (q *Queue) line(source, identity string) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= orElse(q.Waiting, DefaultWaiting) && !q.makeRoom(source, identity) {
		return nil
	}
	w := &waiter{
		source: q.party(partyKey{source: source}), identity: q.party(partyKey{identity: identity}),
		both: q.party(partyKey{source, identity}), turn: make(chan bool, 1),
	}
	q.waiting = append(q.waiting, w)
	w.count(0, 1)
	q.next()
	return w
}

func (q *Queue) party(key partyKey) *party {
	p := q.parties[key]
	if p == nil {
		if q.parties == nil {
			q.parties = map[partyKey]*party{}
		}
		p = &party{key: key, round: q.round}
		if key.identity == "" {
			p.record = q.records[key.source]
		}
		q.parties[key] = p
	}
	return p
}

func (w *waiter) parties() [3]*party { return [...]*party{w.source, w.identity, w.both} }

func (w *waiter) count(running, waiting int) {
	for _, p := range w.parties() {
		p.running += running
		p.waiting += waiting
	}
}

// forget drops the parties of w that have nothing any more.
func (q *Queue) forget(w *waiter) {
	for _, p := range w.parties() {
		if p.running == 0 && p.waiting == 0 {
			delete(q.parties, p.key)
		}
	}
}

// next gives turns as long as there are some.
func (q *Queue) next() {
	slots, now := orElse(q.Slots, DefaultSlots), time.Now()
	for q.running < slots {
		best, bad := -1, q.refusedBefore >= few(slots)
		for i, w := range q.waiting {
			if r := w.source.record; w.source.running >= r.share(slots, now) || bad && r.refused(now) {
				continue
			}
			if best < 0 || w.before(q.waiting[best]) {
				best = i
			}
		}
		if best < 0 {
			return
		}
		w := q.remove(best)
		w.count(1, -1)
		q.round = max(q.round, w.source.round)
		w.source.round, w.both.round = q.round+1, max(q.round, w.both.round)+1
		q.running++
		if w.refusedBefore = w.source.record.refused(now); w.refusedBefore {
			q.refusedBefore++
		}
		w.turn <- true
	}
}

// before reports whether w has its turn before one that came earlier.
func (w *waiter) before(other *waiter) bool {
	if a, b := w.source.running, other.source.running; a != b {
		return a < b
	}
	mine, theirs := w.source, other.source
	if mine == theirs {
		mine, theirs = w.both, other.both
		if a, b := mine.running, theirs.running; a != b {
			return a < b
		}
	}
	if a, b := w.identity.running, other.identity.running; a != b {
		return a < b
	}
	return mine.round < theirs.round
}

func (q *Queue) remove(i int) *waiter {
	w := q.waiting[i]
	q.waiting = append(q.waiting[:i], q.waiting[i+1:]...)
	return w
}

// makeRoom refuses the newest of whoever has the most in the queue, unless that is who comes.
func (q *Queue) makeRoom(source, identity string) bool {
	last := -1
	for i, w := range q.waiting {
		if last < 0 || w.longer(q.waiting[last]) {
			last = i
		}
	}
	w := q.waiting[last]
	own, same := q.parties[partyKey{source: source}], q.parties[partyKey{source, identity}]
	if own != nil && (own.waiting > w.source.waiting || own == w.source && same != nil && same.waiting >= w.both.waiting) {
		return false
	}
	q.remove(last)
	w.count(0, -1)
	q.forget(w)
	w.turn <- false
	return true
}

// longer reports whether w's place is to be given up rather than that of one that came earlier.
func (w *waiter) longer(other *waiter) bool {
	if a, b := w.source.waiting, other.source.waiting; a != b {
		return a > b
	}
	return w.both.waiting >= other.both.waiting
}

// leave ends a turn.
func (q *Queue) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	if w.refusedBefore {
		q.refusedBefore--
	}
	w.count(-1, 0)
	q.forget(w)
	q.next()
}

// abandon takes a waiter out, or ends the turn that it was given meanwhile.
func (q *Queue) abandon(w *waiter) {
	q.mu.Lock()
	for i, other := range q.waiting {
		if other == w {
			q.remove(i)
			w.count(0, -1)
			q.forget(w)
			q.mu.Unlock()
			return
		}
	}
	q.mu.Unlock()
	if <-w.turn {
		q.leave(w)
	}
}

// refuse counts a refusal. The more wait, the longer the time in which they are told to come back.
func (q *Queue) refuse() *Refused {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refused++
	spread := 4*time.Second + time.Duration(len(q.waiting))*10*time.Millisecond
	return refuse("too many "+q.What+": try again later", time.Second, min(spread, 30*time.Second))
}

func orElse[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}
