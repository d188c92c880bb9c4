package cli

import (
	"os"
	"path/filepath"

	"github.com/lictor/lictor/internal/atomicfile"
)

// openSink makes the directories of path and reserves the file that a login's secret goes to. It comes
// before the login, so that a place that cannot be written costs no token.
func openSink(path string) (*atomicfile.File, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, complain("%s is not a regular file", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return atomicfile.Create(path)
}

// writeSink puts secret into the file. It is a new one with mode 0600, whatever was there before.
func writeSink(sink *atomicfile.File, secret string) error {
	if _, err := sink.WriteString(secret); err != nil {
		return err
	}
	return sink.Commit(0o600, false)
}
