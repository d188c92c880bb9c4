package limit

import (
	"math"
	"sync"
	"time"
)

// maxBuckets bounds the keys of a Rate that are remembered.
const maxBuckets = 8192

// sweepEvery keeps a flood of keys from causing a look at all of them each time.
const sweepEvery = time.Second

// Rate bounds how often something is done for each key: PerSecond in the long run, and Burst at
// once. A key that was quiet for as long as its burst takes to come back is forgotten; when more keys than fit are
// busy, those that are new share one bucket. Its methods are safe for concurrent use.
type Rate struct {
	PerSecond float64          // 0 or less is no limit
	Burst     int              // at least 1; 0 is what PerSecond allows in a second
	Now       func() time.Time // nil is time.Now

	mu      sync.Mutex // guards what follows
	buckets map[string]*bucket
	shared  *bucket   // of the keys that have none of their own
	swept   time.Time // when keys were forgotten last
}

// bucket holds what a key may still do, at a time.
type bucket struct {
	left float64
	at   time.Time
}

// Bounds reports whether r refuses anything, ever.
func (r *Rate) Bounds() bool { return r != nil && r.PerSecond > 0 }

// Allow takes one from what key may do. It returns a *Refused that says why if that is nothing now.
func (r *Rate) Allow(key, why string) error {
	if !r.Bounds() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	b := r.bucketOf(key, now)
	r.fill(b, now)
	if b.left >= 1 {
		b.left--
		return nil
	}
	wait := time.Duration((1 - b.left) / r.PerSecond * float64(time.Second))
	return refuse(why, wait, max(wait, 2*time.Second))
}

func (r *Rate) fill(b *bucket, now time.Time) {
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.left = min(r.burst(), b.left+passed*r.PerSecond)
		b.at = now
	}
}

func (r *Rate) bucketOf(key string, now time.Time) *bucket {
	if b := r.buckets[key]; b != nil {
		return b
	}
	if len(r.buckets) >= maxBuckets && now.Sub(r.swept).Abs() >= sweepEvery {
		r.forget(now)
	}
	if len(r.buckets) >= maxBuckets {
		if r.shared == nil {
			r.shared = &bucket{left: r.burst(), at: now}
		}
		return r.shared
	}
	if r.buckets == nil {
		r.buckets = map[string]*bucket{}
	}
	b := &bucket{left: r.burst(), at: now}
	r.buckets[key] = b
	return b
}

// forget drops the keys that may do as much as a new one.
func (r *Rate) forget(now time.Time) {
	r.swept = now
	for key, b := range r.buckets {
		if r.fill(b, now); b.left >= r.burst() {
			delete(r.buckets, key)
		}
	}
}

func (r *Rate) burst() float64 {
	if r.Burst > 0 {
		return float64(r.Burst)
	}
	return max(1, math.Ceil(r.PerSecond))
}

func (r *Rate) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
