package telemetry

import (
	"math/rand/v2"
	"slices"
)

// kept is how many of the last values of a sample its quantiles are made from.
const kept = 128

// quantiles are those that dashboards ask for.
var quantiles = []float64{0.5, 0.9, 0.99}

// reservoir holds some of the last values of a sample: each new one takes the place of any other, so that
// old ones become fewer. Its zero value is empty.
type reservoir struct{ values []float32 }

func (r *reservoir) add(v float64) {
	if len(r.values) < kept {
		r.values = append(r.values, float32(v))
		return
	}
	r.values[rand.IntN(kept)] = float32(v)
}

// quantile returns the value that a part q of those in sorted is not above.
func quantile(sorted []float32, q float64) float64 {
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))])
}

// copy returns s as it is now.
func (s *series) copy() series {
	out := *s
	out.recent.values = slices.Clone(s.recent.values)
	return out
}
