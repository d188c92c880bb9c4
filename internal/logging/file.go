package logging

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// FileConfig says where a file is and when a new one starts. The zero value of each limit
// means never.
type FileConfig struct {
	Path           string
	Mode           os.FileMode // of a new file; 0 is 0600
	RotateBytes    int64
	RotateDuration time.Duration
	MaxFiles       int // rotated files that are kept; 0 keeps all, -1 none
	Now            func() time.Time
}

// File is a file of lines that is set aside under <base>-<unix nanoseconds><ext> when it
// is full or old enough, and started anew (spec: agent.md section 1, audit.md section 4).
// It is safe for concurrent use.
type File struct {
	cfg FileConfig

	mu      sync.Mutex // guards what follows
	f       *os.File
	named   bool      // its name is on disk
	size    int64     // bytes written since it was opened
	started time.Time // of the first write since then
}

// OpenFile opens or creates the file, with its directory, for appending.
func OpenFile(cfg FileConfig) (*File, error) {
	if cfg.Mode == 0 {
		cfg.Mode = 0o600
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(filepath.Dir(cfg.Path), 0o700); err != nil {
		return nil, err
	}
	f := &File{cfg: cfg}
	return f, f.open()
}

func (f *File) open() error {
	h, err := os.OpenFile(f.cfg.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, f.cfg.Mode)
	if err != nil {
		return err
	}
	f.f, f.named, f.size, f.started = h, false, 0, time.Time{}
	return nil
}

// Write appends one or more whole lines, to a new file if the current one is due.
func (f *File) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.prepare(); err != nil {
		return 0, err
	}
	n, err := f.f.Write(line)
	f.size += int64(n)
	return n, err
}

// Append is Write for lines that are all in the file, or after an error none of them. With
// sync they are on disk when it returns.
func (f *File) Append(lines []byte, sync bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.prepare(); err != nil {
		return err
	}
	before, err := f.f.Stat()
	if err != nil {
		return err
	}
	n, err := f.f.Write(lines)
	if err == nil && sync {
		err = f.sync()
	}
	if err != nil {
		if before.Mode().IsRegular() {
			err = errors.Join(err, f.f.Truncate(before.Size()))
		}
		return err
	}
	f.size += int64(n)
	return nil
}

// sync brings what was written to the disk, and the file's name.
func (f *File) sync() error {
	if err := f.f.Sync(); err != nil || f.named {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.cfg.Path))
	if err != nil {
		return err
	}
	f.named = true
	return errors.Join(dir.Sync(), dir.Close())
}

// Reopen goes on with the file that has the name now, for after somebody has moved it.
func (f *File) Reopen() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var closed error
	if f.f != nil {
		closed = f.f.Close()
		f.f = nil
	}
	return errors.Join(closed, f.open())
}

// prepare readies the file for lines.
func (f *File) prepare() error {
	if f.f == nil {
		return os.ErrClosed
	}
	if f.due() {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	if f.started.IsZero() {
		f.started = f.cfg.Now()
	}
	return nil
}

func (f *File) due() bool {
	if f.cfg.RotateBytes > 0 && f.size >= f.cfg.RotateBytes {
		return true
	}
	return f.cfg.RotateDuration > 0 && !f.started.IsZero() && f.cfg.Now().Sub(f.started) > f.cfg.RotateDuration
}

// rotate sets the current file aside. When that fails it goes on with the file it has.
func (f *File) rotate() error {
	base, ext := splitPath(f.cfg.Path)
	if err := f.f.Close(); err != nil {
		return err
	}
	renamed := os.Rename(f.cfg.Path, fmt.Sprintf("%s-%d%s", base, f.cfg.Now().UnixNano(), ext))
	if err := f.open(); err != nil {
		f.f = nil
		return err
	}
	return errors.Join(renamed, f.prune())
}

// prune removes the oldest rotated files beyond MaxFiles.
func (f *File) prune() error {
	if f.cfg.MaxFiles == 0 {
		return nil
	}
	old, err := Rotated(f.cfg.Path)
	if err != nil {
		return err
	}
	var failed []error
	for _, path := range old[:max(0, len(old)-max(0, f.cfg.MaxFiles))] {
		failed = append(failed, os.Remove(path))
	}
	return errors.Join(failed...)
}

// Rotated returns the files that were set aside for the file at path, the oldest first. Their names
// sort by age.
func Rotated(path string) ([]string, error) {
	base, ext := splitPath(path)
	entries, err := os.ReadDir(filepath.Dir(base))
	if err != nil {
		return nil, err
	}
	var old []string
	for _, e := range entries {
		stamp, ok := strings.CutPrefix(e.Name(), filepath.Base(base)+"-")
		if stamp, ok2 := strings.CutSuffix(stamp, ext); ok && ok2 && isDigits(stamp) {
			old = append(old, filepath.Join(filepath.Dir(base), e.Name()))
		}
	}
	slices.Sort(old)
	return old, nil
}

// Close closes the file; later writes fail.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	return err
}

// splitPath returns the parts of a path between which the time of a rotation stands.
func splitPath(path string) (base, ext string) {
	ext = filepath.Ext(path)
	return strings.TrimSuffix(path, ext), ext
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// logPath is the file that the log_file setting means: consul.log in a directory, and
// .log where the name has no extension.
func logPath(setting string) string {
	if strings.HasSuffix(setting, string(filepath.Separator)) {
		setting = filepath.Join(setting, "consul")
	}
	if filepath.Ext(setting) == "" {
		setting += ".log"
	}
	return setting
}
