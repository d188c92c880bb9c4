package limit

import "sync"

// Places bounds how much of something is held at a time: of one source, and of all. Zero means no
// bound. Its methods are safe for concurrent use.
type Places struct {
	PerSource, Total int64

	mu       sync.Mutex // guards what follows
	held     int64
	bySource map[string]int64 // no zeros
}

// Take takes n places for source, and reports whether there were as many.
func (p *Places) Take(source string, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Total > 0 && p.held+n > p.Total || p.PerSource > 0 && p.bySource[source]+n > p.PerSource {
		return false
	}
	if p.bySource == nil {
		p.bySource = map[string]int64{}
	}
	p.held += n
	p.bySource[source] += n
	return true
}

// Give gives back n places that source has taken.
func (p *Places) Give(source string, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held -= n
	if p.bySource[source] -= n; p.bySource[source] == 0 {
		delete(p.bySource, source)
	}
}

// Held returns how many places are taken.
func (p *Places) Held() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}
