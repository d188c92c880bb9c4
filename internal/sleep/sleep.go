// Package sleep waits for a time that may end early.
package sleep

import (
	"context"
	"time"
)

// For waits for d. It returns false, at once, if ctx is done before.
func For(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
