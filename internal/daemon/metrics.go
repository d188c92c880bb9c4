package daemon

import (
	"os"

	"github.com/lictor/lictor/internal/telemetry"
)

// openMetrics makes what this agent and its libraries report go to one place.
func (b *base) openMetrics() error {
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	b.metrics = telemetry.New(telemetry.Config{Hostname: hostname})
	return b.metrics.FromLibraries()
}
