// Package atomicfile replaces files in one step: who reads one sees the old content or the new,
// never a part of it.
package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

const (
	prefix  = ".tmp-"
	private = os.FileMode(0o600) // what a file is made with
)

// Unfinished reports whether a file with this name, which has no directory, was being written when its
// process died.
func Unfinished(name string) bool { return strings.HasPrefix(name, prefix) }

// Write replaces the file at path by one with mode that holds all of content. After an error the old
// one stays. With durable the new one is there after a power failure too.
func Write(path string, mode os.FileMode, durable bool, content io.Reader) error {
	f, err := Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, content); err != nil {
		return err
	}
	return f.Commit(mode, durable)
}

// File is the next content of a path, which nobody sees before Commit. Only its owner can read it.
type File struct {
	*os.File
	path      string
	committed bool
}

// Create begins the next content of path, in the same directory. Close it.
func Create(path string) (*File, error) {
	f, err := os.CreateTemp(filepath.Dir(path), prefix+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	return &File{File: f, path: path}, nil
}

// Commit makes what was written the content of the path. With durable it is there after a power
// failure too.
func (f *File) Commit(mode os.FileMode, durable bool) error {
	var err error
	if mode != private {
		err = f.Chmod(mode)
	}
	if err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.File.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), f.path); err != nil {
		return err
	}
	f.committed = true
	if durable {
		return syncDir(filepath.Dir(f.path))
	}
	return nil
}

// Close removes what was not committed.
func (f *File) Close() error {
	if f.committed {
		return nil
	}
	_ = f.File.Close() // Commit may have
	return os.Remove(f.Name())
}

// syncDir makes the names in a directory durable, where the file system knows how to.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
