// Command consul-ecs runs inside an ECS task, beside the application.
package main

import (
	"context"
	"os"

	"github.com/lictor/lictor/internal/ecs"
)

func main() {
	os.Exit(ecs.Run(context.Background(), ecs.OSEnv(), os.Args[1:]))
}
