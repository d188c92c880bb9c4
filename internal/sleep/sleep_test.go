package sleep

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAWaitEndsWithItsTimeOrItsContext(t *testing.T) {
	for _, tc := range []struct {
		name     string
		wait     time.Duration
		deadline time.Duration
		whole    bool
		took     time.Duration
	}{
		{"the time is over first", time.Minute, time.Hour, true, time.Minute},
		{"the context is done first", time.Hour, time.Minute, false, time.Minute},
		{"no time", 0, time.Hour, true, 0},
		{"a context that is done", time.Hour, 0, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), tc.deadline)
				defer stop()
				began := time.Now()
				if whole := For(ctx, tc.wait); whole != tc.whole || time.Since(began) != tc.took {
					t.Errorf("waited %v, to the end: %v", time.Since(began), whole)
				}
			})
		})
	}
}
