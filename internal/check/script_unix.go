//go:build !windows && !plan9

package check

import (
	"os/exec"
	"syscall"
)

// killTogether puts the command into a process group of its own, which is
// killed as one.
func killTogether(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
