// Package ecs is the consul-ecs command: what runs inside an ECS task beside
// the application. It stays small, because every task carries a copy.
package ecs

import (
	"fmt"
	"io"

	"github.com/lictor/lictor/internal/version"
)

const usage = `Usage: consul-ecs [--version] [--help] <command> [<args>]

Available commands are:
    version    Prints the version
`

// Run runs the command that args name and returns the process's exit code:
// 0, 1, or 127 for an unknown command.
func Run(out, complaints io.Writer, args []string) int {
	if len(args) == 0 {
		fmt.Fprint(complaints, usage)
		return 127
	}
	switch args[0] {
	case "version", "-v", "-version", "--version":
		fmt.Fprintf(out, "consul-ecs v%s\n", version.Lictor)
		return 0
	case "help", "-h", "-help", "--help":
		fmt.Fprint(out, usage)
		return 0
	}
	fmt.Fprintf(complaints, "Unknown command %q\n\n%s", args[0], usage)
	return 127
}
