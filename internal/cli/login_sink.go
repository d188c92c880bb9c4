package cli

import (
	"os"
	"path/filepath"
)

// sink is the file that a login's secret goes to. It is opened before the
// login, so that a place that cannot be written costs no token.
type sink struct {
	path string
	temp *os.File // nil once written
}

// openSink makes the directories of path and reserves a file there.
func openSink(path string) (*sink, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, complain("%s is not a regular file", path)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	temp, err := os.CreateTemp(dir, ".token-*") // mode 0600
	if err != nil {
		return nil, err
	}
	return &sink{path: path, temp: temp}, nil
}

// write puts secret into the file in one step: a reader sees the old content or
// the new. The file is a new one with mode 0600, whatever was there before.
func (s *sink) write(secret string) error {
	if _, err := s.temp.WriteString(secret); err != nil {
		return err
	}
	if err := s.temp.Close(); err != nil {
		return err
	}
	if err := os.Rename(s.temp.Name(), s.path); err != nil {
		return err
	}
	s.temp = nil
	return nil
}

// close removes what an unfinished login leaves.
func (s *sink) close() {
	if s.temp != nil {
		_ = s.temp.Close()
		_ = os.Remove(s.temp.Name())
	}
}
