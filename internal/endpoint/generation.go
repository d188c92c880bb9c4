package endpoint

import (
	"hash/maphash"
	"sync"
)

// generations is a map bounded in size: what was not asked for while as many
// others came as one generation holds is forgotten. It is safe for concurrent
// use; a value has to be immutable.
type generations[K comparable, V any] struct {
	seed   maphash.Seed
	shards [16]struct {
		mu         sync.Mutex
		young, old map[K]V
	}
	size int // of a shard's generation
}

// newGenerations returns a map that keeps at least the size keys used last,
// and at most about twice as many.
func newGenerations[K comparable, V any](size int) *generations[K, V] {
	g := &generations[K, V]{seed: maphash.MakeSeed()}
	g.size = size/len(g.shards) + 1
	for i := range g.shards {
		g.shards[i].young = map[K]V{}
	}
	return g
}

// get returns the value at k, if it is remembered.
func (g *generations[K, V]) get(k K) (V, bool) {
	s := &g.shards[maphash.Comparable(g.seed, k)%uint64(len(g.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.young[k]
	if ok {
		return v, true
	}
	if v, ok = s.old[k]; ok {
		g.keep(&s.young, &s.old, k, v)
	}
	return v, ok
}

// put remembers v at k.
func (g *generations[K, V]) put(k K, v V) {
	s := &g.shards[maphash.Comparable(g.seed, k)%uint64(len(g.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	g.keep(&s.young, &s.old, k, v)
}

func (g *generations[K, V]) keep(young, old *map[K]V, k K, v V) {
	if len(*young) >= g.size {
		*old, *young = *young, make(map[K]V, g.size)
	}
	(*young)[k] = v
}
