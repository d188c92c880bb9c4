//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package raftnode

// lock does nothing: a data directory is for servers, which do not run here.
func lock(string) (unlock func() error, err error) { return func() error { return nil }, nil }
