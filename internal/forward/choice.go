package forward

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// stay is how long a client agent stays with a server that answers; up to half
// of it is added, so that agents spread over servers that come back.
const stay = 2 * time.Minute

// choice is the server that a client agent uses. The zero value has chosen none.
type choice struct {
	mu    sync.Mutex
	addr  string // "" is none
	until time.Time
}

// pick returns the server to use: the same as before if it is still among servers,
// has not failed and its time is not over, else any that has not failed. There has
// to be one.
func (c *choice) pick(servers []string, failed map[string]bool) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.addr != "" && !failed[c.addr] && now.Before(c.until) && slices.Contains(servers, c.addr) {
		return c.addr
	}
	sound := make([]string, 0, len(servers))
	for _, s := range servers {
		if !failed[s] {
			sound = append(sound, s)
		}
	}
	if len(sound) == 0 {
		sound = servers
	}
	c.addr = sound[rand.N(len(sound))]
	c.until = now.Add(stay + rand.N(stay/2))
	return c.addr
}

// leave makes the next pick choose anew if addr is the one in use.
func (c *choice) leave(addr string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addr == addr {
		c.addr = ""
	}
}
