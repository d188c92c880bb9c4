package daemon

import (
	"runtime"
	"runtime/metrics"
	"testing"
)

func TestTheHeapGrowsBeforeGarbageIsCollected(t *testing.T) {
	defer holdBallast()()
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/goal:bytes"}}
	metrics.Read(s)
	if goal := s[0].Value.Uint64(); goal < 2*ballastBytes {
		t.Errorf("garbage is collected after %d bytes", goal)
	}
}
