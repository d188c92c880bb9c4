package ecs

import (
	"context"
	"log/slog"
	"time"

	"github.com/lictor/lictor/internal/taskmeta"
)

// metadataPatience is for how long a command asks for what it runs in. The endpoint answers
// slowly while many tasks of one machine start.
const metadataPatience = time.Minute

// readTask asks for the task that the process runs in, and returns the client of the endpoint for
// more questions.
func readTask(ctx context.Context, env *Env, log *slog.Logger) (*taskmeta.Client, *taskmeta.Task, error) {
	metadata, err := taskmeta.FromEnv(env.Getenv)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, metadataPatience)
	defer cancel()
	var task *taskmeta.Task
	err = retry(ctx, log, "unable to get task metadata", func(ctx context.Context) (err error) {
		task, err = metadata.Task(ctx)
		return err
	})
	return metadata, task, err
}
