//go:build unix

package cli

import (
	"os"
	"strconv"
	"syscall"
)

// execEnvoy becomes Envoy. The bootstrap, which holds a token, is a file without a name that
// Envoy inherits.
func execEnvoy(_ *Env, binary string, bootstrap []byte, options []string) error {
	file, err := bootstrapFile(bootstrap)
	if err != nil {
		return complain("Error writing the bootstrap configuration: %w", err)
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return complain("Error writing the bootstrap configuration: %w", err)
	}
	fd, err := syscall.Dup(int(file.Fd())) // a copy stays open across exec
	if err != nil {
		return complain("Error writing the bootstrap configuration: %w", err)
	}
	args := append([]string{binary}, envoyArgs("/dev/fd/"+strconv.Itoa(fd), options)...)
	return complain("Failed to exec envoy: %w", syscall.Exec(binary, args, os.Environ()))
}
