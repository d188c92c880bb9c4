//go:build !linux

package taskrun

import (
	"os"
	"syscall"
)

// onThread calls f in a goroutine. Threads do not differ.
func onThread(f func()) { go f() }

func (p *place) containerAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (p *place) commandAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func (p *place) started(int) {}

// kill kills the container's process group; a process that has left the group lives on.
func (p *place) kill(first *os.Process, _ string) { p.killRest(first.Pid, "") }

func (p *place) killRest(pid int, _ string) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
