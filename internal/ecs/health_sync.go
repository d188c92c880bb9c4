package ecs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
	"github.com/lictor/lictor/internal/taskmeta"
)

const (
	syncInterval = time.Second
	updateTime   = 5 * time.Second  // for one update of a check
	farewellTime = 20 * time.Second // for the end; with the update before it, below what ECS waits for before it kills
)

// syncer is one run of health-sync (ecs.md section 7).
type syncer struct {
	inTask
	interval time.Duration

	mu    sync.Mutex // guards agent, which a new token replaces
	agent *api.Client

	sent map[string]string // ECS status by container, as the agent was told last
}

// healthSync reports the health of containers until SIGTERM. Then it makes all of them critical,
// for good, and logs out the task's tokens.
func healthSync(ctx context.Context, env *Env, args []string) error {
	if err := noArguments(args); err != nil {
		return err
	}
	in, err := configured(env)
	if err != nil {
		return err
	}
	s := &syncer{inTask: in, interval: syncInterval, sent: map[string]string{}}
	if err := s.connect(); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	go s.awaitTerm(running, env.Signals, stop)
	if err := s.readTask(running); err != nil {
		if running.Err() == nil {
			return err
		}
		return s.farewell(ctx)
	}
	var renewing sync.WaitGroup
	if s.config.ConsulLogin.Enabled {
		r := s.renewal()
		renewing.Go(func() { r.run(running) })
	}
	s.follow(running)
	renewing.Wait() // or a renewal could undo a logout
	return s.farewell(ctx)
}

// awaitTerm calls stop at the first SIGTERM; SIGINT ends the process as it does any other.
func (s *syncer) awaitTerm(ctx context.Context, signals <-chan os.Signal, stop func()) {
	for {
		select {
		case sig := <-signals:
			switch sig {
			case syscall.SIGTERM:
				s.log.Info("signal received, draining", "signal", sig.String())
				stop()
				return
			case syscall.SIGINT:
				os.Exit(1)
			}
		case <-ctx.Done():
			return
		}
	}
}

// connect makes the client of the agent, with the service token as it is now.
func (s *syncer) connect() error {
	var token logging.Secret
	if s.config.ConsulLogin.Enabled {
		var err error
		if token, err = readToken(s.config.BootstrapDir, serviceTokenFile); err != nil {
			return fmt.Errorf("constructing consul client: %w", err)
		}
	}
	agent, err := agentClient(token)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.agent = agent
	return nil
}

// follow tells the agent of each change of a container's health, until ctx is done.
func (s *syncer) follow(ctx context.Context) {
	if len(s.config.HealthSyncContainers) == 0 {
		<-ctx.Done()
		return
	}
	failures, wait := 0, s.interval
	for sleep.For(ctx, wait) {
		task, err := s.metadata.Task(ctx)
		if err != nil {
			s.log.Error("unable to get task metadata", logging.Err, err)
			wait = s.interval + backoffs[temporary].wait(failures)
			failures++
			continue
		}
		failures, wait = 0, s.interval
		for _, name := range s.config.HealthSyncContainers {
			if ctx.Err() == nil {
				s.follow1(ctx, name, task.Container(name))
			}
		}
	}
}

// follow1 tells the agent of one container's health, if it is not what it was told last. A
// container that is not there is unhealthy.
func (s *syncer) follow1(ctx context.Context, name string, c *taskmeta.Container) {
	health := taskmeta.Health{Status: "UNHEALTHY"}
	if c != nil {
		health = c.Health
	}
	if last, told := s.sent[name]; told && last == health.Status {
		return
	}
	status := api.HealthCritical
	if health.Status == taskmeta.Healthy {
		status = api.HealthPassing
	}
	// The end of ctx does not break an update off: it could arrive after the farewell's.
	if err := s.update(context.WithoutCancel(ctx), name, status, health.Status); err != nil {
		s.log.Warn("failed to update Consul health status", "container", name, logging.Err, err)
		return
	}
	s.sent[name] = health.Status
	if c == nil {
		s.log.Info("container health check updated in Consul for missing container", "container", name)
		return
	}
	s.log.Info("container health check updated in Consul",
		"name", name, "status", health.Status, "statusSince", health.StatusSince, "exitCode", health.ExitCode)
}

func (s *syncer) update(ctx context.Context, container, status, seen string) error {
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	id := syncCheckID(serviceID(s.config, s.task), container)
	s.mu.Lock()
	agent := s.agent
	s.mu.Unlock()
	output := fmt.Sprintf("ECS health status is %q for task %q", seen, id)
	opts := (&api.QueryOptions{Namespace: s.config.Service.Namespace, Partition: s.config.Service.Partition}).WithContext(ctx)
	return agent.Agent().UpdateTTLOpts(id, output, status, opts)
}

// farewell makes every check critical and logs out: the service token first, then that of the
// task's agent. The agent leaves at the same time, so that it may not take the updates any more.
func (s *syncer) farewell(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	if s.task != nil { // without it, nobody was told of its health
		s.makeCritical(ctx)
	}
	return s.logOut(ctx)
}

func (s *syncer) makeCritical(ctx context.Context) {
	for _, name := range s.config.HealthSyncContainers {
		if err := s.update(ctx, name, api.HealthCritical, api.HealthCritical); err != nil {
			s.log.Warn("failed to set Consul health status to critical", "container", name, logging.Err, err)
			continue
		}
		s.log.Info("set Consul health status to critical", "container", name)
	}
}

// logOut ends the task's tokens: that of the service, then that of the agent.
func (s *syncer) logOut(ctx context.Context) error {
	if !s.config.ConsulLogin.Enabled {
		return nil
	}
	var failed []error
	for _, file := range []string{serviceTokenFile, clientTokenFile} {
		err := retry(ctx, s.log, "logout", func(ctx context.Context) error { return logout(ctx, s.config, file) })
		if err == nil {
			s.log.Info("logged out", "file", file)
			continue
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}
