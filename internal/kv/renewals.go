package kv

import (
	"sync"
	"time"
)

// Renewals are when sessions were renewed last. Only the leader keeps them, in memory: a
// renewal costs no write. Its methods are safe for concurrent use; the zero value is empty.
type Renewals struct {
	mu   sync.Mutex
	last map[string]time.Time // by session ID; guarded by mu
}

// Note takes note that a session was renewed, or made, at a time.
func (r *Renewals) Note(id string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]time.Time{}
	}
	if at.After(r.last[id]) {
		r.last[id] = at
	}
}

// Begin forgets everything: a server that begins to lead knows of no renewal.
func (r *Renewals) Begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = nil
}

// Due splits sessions with a TTL into those whose time is over at now, and says when the next
// one's is; the zero time if there is no next one. A session that nothing is known of begins its time at now. What
// is not among the sessions is forgotten. A session's time is one and a half of its TTL.
func (r *Renewals) Due(sessions []*Session, now time.Time) (over []*Session, next time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := make(map[string]time.Time, len(sessions))
	for _, s := range sessions {
		ttl := s.Life()
		if ttl <= 0 {
			continue
		}
		last, known := r.last[s.ID]
		if !known {
			last = now
		}
		kept[s.ID] = last
		end := last.Add(ttl + ttl/2)
		switch {
		case !end.After(now):
			over = append(over, s)
		case next.IsZero() || end.Before(next):
			next = end
		}
	}
	r.last = kept
	return over, next
}
