//go:build !unix

package cli

import (
	"errors"
	"os"
	"os/exec"
)

// execEnvoy runs Envoy and ends as it does.
func execEnvoy(env *Env, binary string, bootstrap []byte, options []string) error {
	file, err := bootstrapFile(bootstrap)
	if err != nil {
		return complain("Error writing the bootstrap configuration: %w", err)
	}
	defer os.Remove(file.Name())
	if err := file.Close(); err != nil {
		return complain("Error writing the bootstrap configuration: %w", err)
	}
	cmd := exec.Command(binary, envoyArgs(file.Name(), options)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = env.In, env.Out, env.Err
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return ExitCode(exit.ExitCode())
	}
	return err
}
