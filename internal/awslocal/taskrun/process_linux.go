package taskrun

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// onThread calls f in a goroutine with a thread of its own, which ends with it. It is never the main
// thread, which would not end and is what the process looks like to others.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != unix.Getpid() {
			f()
			return // the thread ends, since it is locked
		}
		locked := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(locked)
			f()
		}()
		<-locked
		runtime.UnlockOSThread()
	}()
}

// containerAttr is for the container's first process.
func (p *place) containerAttr() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if p.isolated {
		attr.Cloneflags = syscall.CLONE_NEWPID
	}
	return attr
}

// commandAttr is for further ones.
func (p *place) commandAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// started makes what is started from now on live among the processes of the container, of which
// the one with pid is the first.
func (p *place) started(pid int) {
	if !p.isolated {
		return
	}
	_ = p.on(func() error {
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWPID)
			_ = ns.Close()
		}
		p.broken = err // the process may have ended
		return nil
	})
}

// kill kills the container's first process and all others of the container. With processes of its own
// the kernel kills them all with the first.
func (p *place) kill(first *os.Process, marker string) {
	_ = first.Kill()
	if !p.isolated {
		killMarked(first.Pid, marker)
	}
}

// killRest kills what the container's first process has left.
func (p *place) killRest(pid int, marker string) {
	if !p.isolated {
		killMarked(pid, marker)
	}
}

// killMarked kills the process group of pid and all processes that have marker, a variable, in their
// environment, until there are none: also those that have left the group.
func killMarked(pid int, marker string) {
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	const most = 100 // rounds, against what forks faster than it is found
	for range most {
		if !killOnce(marker) {
			return
		}
	}
}

// killOnce reports whether it found any process to kill.
func killOnce(marker string) bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	found := false
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		env, err := os.ReadFile("/proc/" + e.Name() + "/environ") // empty for those that have ended
		if err == nil && bytes.Contains(append([]byte{0}, env...), []byte("\x00"+marker+"\x00")) {
			found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
		}
	}
	return found
}
