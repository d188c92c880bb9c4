// Command consul-ecs runs inside an ECS task, beside the application.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/lictor/lictor/internal/ecs"
)

func main() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals)
	env := &ecs.Env{Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv, Signals: signals}
	os.Exit(ecs.Run(context.Background(), env, os.Args[1:]))
}
