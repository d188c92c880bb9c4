//go:build !linux

package daemon

// forgetStart does nothing: what a start leaves in memory is the system's to take back.
func forgetStart() {}
