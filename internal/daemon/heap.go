package daemon

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

const (
	// minHeap is the size in bytes up to which the heap of a server grows before garbage is collected. Go collects
	// when it has doubled, which for a small state is after a few megabytes: under load that takes a fifth of the processor time.
	minHeap        = 64 << 20
	defaultPercent = 100     // GOGC of Go
	firstHeap      = 4 << 20 // from which Go counts at least
)

// growHeap keeps to minHeap until stop is called, unless the operator has set GOGC. It holds for the process.
func growHeap() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	collected, done, ended := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	set := heapPercent(0)
	debug.SetGCPercent(set)
	go func() {
		defer close(ended)
		for {
			noteCollection(collected)
			select {
			case <-collected:
			case <-done:
				debug.SetGCPercent(defaultPercent)
				return
			}
			if next := heapPercent(liveHeap()); math.Abs(float64(next-set)) > float64(set)/8 {
				debug.SetGCPercent(next)
				set = next
			}
		}
	}()
	return func() { close(done); <-ended }
}

// heapPercent returns the GOGC that lets a heap with so many bytes alive grow to minHeap, or to
// its double.
func heapPercent(live uint64) int {
	live = max(live, firstHeap)
	if 2*live >= minHeap {
		return defaultPercent
	}
	return int((minHeap - live) * 100 / live)
}

// liveHeap returns the bytes that the last collection found alive.
func liveHeap() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// noteCollection sends once to c after the next collection, unless something waits there.
func noteCollection(c chan struct{}) {
	runtime.AddCleanup(new([32]byte), func(c chan struct{}) {
		select {
		case c <- struct{}{}:
		default:
		}
	}, c)
}
