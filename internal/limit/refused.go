package limit

import (
	"math/rand/v2"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// Refused is the error of a request that came at a bad time. Its kind is errs.Throttled.
type Refused struct {
	Why   string        // what was exceeded, for the caller
	After time.Duration // when to try again; no two callers are told to come at the same time
}

func (e *Refused) Error() string { return e.Why }

// Unwrap gives the error its kind.
func (e *Refused) Unwrap() error { return errThrottled }

var errThrottled = errs.New(errs.Throttled, "throttled")

// RetryAfter returns the seconds for a Retry-After header, at least one.
func (e *Refused) RetryAfter() int { return int((e.After + time.Second - 1) / time.Second) }

// Later returns the refusal of something that is over soon.
func Later(why string) *Refused { return refuse(why, time.Second, 3*time.Second) }

// refuse asks to come back after at least wait, somewhere in the time of spread behind it.
func refuse(why string, wait, spread time.Duration) *Refused {
	return &Refused{Why: why, After: max(time.Second, wait+rand.N(spread))}
}
