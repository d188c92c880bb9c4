package daemon

import (
	"runtime/metrics"
	"testing"
)

func TestHeapPercent(t *testing.T) {
	for _, tc := range []struct {
		name string
		live uint64
		want int
	}{
		{"nothing is alive yet", 0, 1500},
		{"less than Go counts from", 1 << 20, 1500},
		{"a quarter of the least", minHeap / 4, 300},
		{"half of it", minHeap / 2, 100},
		{"a large state", 1 << 30, 100},
	} {
		if got := heapPercent(tc.live); got != tc.want {
			t.Errorf("%s: %d %%, want %d %%", tc.name, got, tc.want)
		}
	}
}

func TestTheHeapGrowsUntilStopped(t *testing.T) {
	t.Setenv("GOGC", "")
	growHeap()()
	if got := currentPercent(); got != defaultPercent {
		t.Errorf("afterwards GOGC is %d", got)
	}
	stop := growHeap()
	if got := currentPercent(); got <= defaultPercent {
		t.Errorf("meanwhile GOGC is %d", got)
	}
	stop()
	t.Setenv("GOGC", "77")
	defer growHeap()()
	if got := currentPercent(); got != defaultPercent {
		t.Errorf("with GOGC in the environment it became %d", got)
	}
}

func currentPercent() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
