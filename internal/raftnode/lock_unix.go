//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package raftnode

import (
	"errors"
	"os"
	"syscall"
)

var errInUse = errors.New("it is in use by another process")

// lock takes the file at path for this process, or returns errInUse at once. The
// system releases it when the process ends, however it ends.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f.Close, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errInUse
	}
	return nil, errors.Join(err, f.Close())
}
