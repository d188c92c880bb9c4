package check

import (
	"context"
	"fmt"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// aliasRetry is how long after an error an alias asks again.
const aliasRetry = 15 * time.Second

// alias follows other checks.
type alias struct {
	report report
	checks Aliased
}

func newAlias(r report, checks Aliased) (*alias, error) {
	if checks == nil {
		return nil, errs.New(errs.Internal, "nothing resolves alias checks")
	}
	return &alias{report: r, checks: checks}, nil
}

// Run reports at once and again after each change.
func (a *alias) Run(ctx context.Context) {
	for ctx.Err() == nil {
		checks, changed, err := a.checks(ctx)
		if ctx.Err() != nil {
			return
		}
		var retry <-chan time.Time
		if err != nil {
			a.report.set(failure(fmt.Errorf("failed to read the aliased checks: %w", err)))
			retry, changed = time.After(aliasRetry), nil
		} else {
			a.report.set(worst(checks))
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-retry:
		}
	}
}

// worst returns the status of the first check of the worst status.
func worst(checks []AliasCheck) Status {
	if len(checks) == 0 {
		return Status{Passing, "No checks found."}
	}
	result := Status{Passing, "All checks passing."}
	for _, c := range checks {
		switch {
		case c.Status == Critical:
			return Status{Critical, aliasOutput(c)}
		case c.Status == Warning && result.Status == Passing:
			result = Status{Warning, aliasOutput(c)}
		}
	}
	return result
}

func aliasOutput(c AliasCheck) string {
	return fmt.Sprintf("Aliased check %q failing: %s", c.Name, c.Output)
}
