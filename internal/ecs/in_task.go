package ecs

import (
	"context"
	"log/slog"

	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/taskmeta"
)

// inTask is what commands in a task work with.
type inTask struct {
	config   *ecsconfig.Config // nil for a command that has flags in its place
	log      *slog.Logger
	getenv   func(string) string
	metadata *taskmeta.Client // set by readTask, as the next one
	task     *taskmeta.Task
}

// configured reads the task's configuration, and opens the log that it asks for.
func configured(env *Env) (inTask, error) {
	config, err := ecsconfig.FromEnv(env.Getenv)
	if err != nil {
		return inTask{}, err
	}
	if config.ConsulLogin.Enabled {
		said := loginRequest{meta: map[string]string{}}
		if err := said.extra(config.ConsulLogin.ExtraLoginFlags); err != nil {
			return inTask{}, err
		}
		said.servers.use(config)
	}
	log, err := env.logger(config.LogLevel)
	return inTask{config: config, log: log, getenv: env.Getenv}, err
}

// readTask asks for the task that the process runs in, until it is told or ctx is done. The endpoint answers
// slowly while many tasks of one machine start.
func (t *inTask) readTask(ctx context.Context) error {
	var err error
	if t.metadata, err = taskmeta.FromEnv(t.getenv); err != nil {
		return err
	}
	return retry(ctx, t.log, "unable to get task metadata", func(ctx context.Context) (err error) {
		t.task, err = t.metadata.Task(ctx)
		return err
	})
}

// region is that of the environment, or that of the task's ARN.
func (t *inTask) region() (string, error) {
	if region := t.getenv("AWS_REGION"); region != "" {
		return region, nil
	}
	return t.task.Region()
}
