package check

import (
	"context"
	"fmt"
	"strings"
)

// serviceManager tells whether a service of the system runs.
const serviceManager = "systemctl"

// osServiceProbe passes if a service of the system is active, fails if it is
// stopped or has failed, and warns about anything between.
type osServiceProbe struct{ name string }

func (p *osServiceProbe) probe(ctx context.Context) Status {
	_, output, err := run(ctx, DefaultOutputMax, []string{serviceManager, "is-active", "--", p.name})
	if err != nil {
		return failure(err)
	}
	state := strings.TrimSpace(output)
	output = fmt.Sprintf("service %q: %s", p.name, state)
	switch state {
	case "active":
		return Status{Passing, output}
	case "activating", "reloading", "refreshing", "maintenance", "unknown":
		return Status{Warning, output}
	}
	return Status{Critical, output}
}
