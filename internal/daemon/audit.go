package daemon

import (
	"os"
	"path/filepath"
	"reflect"
	"strconv"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/logging"
)

// Enforced is the delivery guarantee of a sink without which nothing is done.
const Enforced = "enforced"

// Sink returns what the audit trail makes of s, whose mode is octal.
func (s AuditSink) Sink() audit.Sink {
	mode, _ := strconv.ParseUint(s.Mode, 8, 32) // empty is the default
	return audit.Sink{
		Name: s.Name, Type: s.Type, Path: s.Path, Enforced: s.DeliveryGuarantee == Enforced,
		Include: s.Include, Exclude: s.Exclude,
		Mode: os.FileMode(mode), RotateBytes: s.RotateBytes, RotateDuration: s.RotateDuration, MaxFiles: s.RotateMaxFiles,
	}
}

// openAudit opens the audit trail. It returns nil where there is to be none.
func openAudit(cfg Config, opts Options) (*audit.Log, error) {
	if !cfg.Audit.Enabled {
		return nil, nil
	}
	c := audit.Config{Host: cfg.NodeName, Log: logging.Named(opts.Log, "audit")}
	if cfg.DataDir != "" {
		c.KeyFile = filepath.Join(cfg.DataDir, "audit.key")
	}
	for _, s := range cfg.Audit.Sinks {
		c.Sinks = append(c.Sinks, s.Sink())
	}
	return audit.Open(c)
}

// reloadAudit opens the files of the audit trail anew, for after somebody has moved them. What
// the stanza says counts from the start of the agent.
func (b *base) reloadAudit(next Config) error {
	if !reflect.DeepEqual(b.cfg.Audit, next.Audit) {
		b.log.Warn("changes of the audit stanza need a restart")
	}
	if b.audit == nil {
		return nil
	}
	return b.audit.Reopen()
}

// closeAudit ends the audit trail, after the last operation.
func (b *base) closeAudit() {
	if b.audit != nil {
		b.audit.Close()
	}
}

// auditStats is what consul info says of the audit trail.
func (b *base) auditStats() map[string]string {
	if b.audit == nil {
		return map[string]string{"enabled": "false"}
	}
	counts := b.audit.Stats()
	return map[string]string{
		"enabled": "true",
		"written": strconv.FormatUint(counts.Written, 10),
		"lost":    strconv.FormatUint(counts.Lost, 10),
	}
}
