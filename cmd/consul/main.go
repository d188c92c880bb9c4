// Command consul is the agent and the operator's command line.
package main

import (
	"context"
	"os"

	"github.com/lictor/lictor/internal/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), cli.OSEnv(), cli.Root(), os.Args[1:]))
}
