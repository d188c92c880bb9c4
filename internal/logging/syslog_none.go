//go:build windows || plan9

package logging

import (
	"io"

	"github.com/lictor/lictor/internal/errs"
)

// dialSyslog says that this system has no syslog.
func dialSyslog(string) (lineWriter, io.Closer, error) {
	return nil, nil, errs.New(errs.Invalid, "syslog is not available on this system")
}
