// Command consul-ecs runs inside an ECS task, beside the application.
package main

import (
	"os"

	"github.com/lictor/lictor/internal/ecs"
)

func main() {
	os.Exit(ecs.Run(os.Stdout, os.Stderr, os.Args[1:]))
}
