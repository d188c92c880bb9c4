//go:build windows || plan9

package logging

import (
	"errors"
	"io"
)

// dialSyslog says that this system has no syslog.
func dialSyslog(string) (lineWriter, io.Closer, error) {
	return nil, nil, errors.New("syslog is not available on this system")
}
