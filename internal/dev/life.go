package dev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// lifeSteps show services and sidecars, and health.
func (w *world) lifeSteps(web, api *service) []step {
	both := func(f func(*service) error) error { return errors.Join(f(web), f(api)) }
	return []step{
		{"consul members: alive", w.members("alive")},
		{"services and sidecars are in the catalog", func(ctx context.Context) (string, error) {
			err := both(func(s *service) error { return w.registered(ctx, s) })
			return "web in " + demoPartition + "/" + demoNamespace + ", api in " + demoPartition + "/default", err
		}},
		{"consul-ecs health-sync: both are healthy", func(ctx context.Context) (string, error) {
			return "passing", both(func(s *service) error { return w.synced(ctx, s, "passing") })
		}},
		{"web falls ill", func(ctx context.Context) (string, error) {
			if err := os.WriteFile(web.sick(), nil, 0o600); err != nil {
				return "", err
			}
			return "critical", w.synced(ctx, web, "critical")
		}},
		{"web is well again", func(ctx context.Context) (string, error) {
			if err := os.Remove(web.sick()); err != nil {
				return "", err
			}
			return "passing", w.synced(ctx, web, "passing")
		}},
	}
}

// endSteps show the end of the tasks, and what they leave.
func (w *world) endSteps(web, api *service) []step {
	both := func(f func(*service) error) error { return errors.Join(f(web), f(api)) }
	return []step{
		{"SIGTERM to both tasks", func(ctx context.Context) (string, error) {
			return "ten containers ended with exit code 0", w.stopServices(ctx)
		}},
		{"consul members: left", w.members("left")},
		{"services and nodes are gone", func(ctx context.Context) (string, error) {
			return "nothing of theirs is in the catalog", both(func(s *service) error { return w.unregistered(ctx, s) })
		}},
		{"all four tokens are gone", func(ctx context.Context) (proof string, err error) {
			err = both(func(s *service) error {
				proof, err = w.gone(ctx, s)
				return err
			})
			return proof, err
		}},
	}
}

// synced waits until the check that health-sync keeps has a status.
func (w *world) synced(ctx context.Context, s *service, status string) error {
	return until(ctx, func(ctx context.Context) error {
		e, err := w.instance(ctx, s, s.name)
		if err != nil {
			return err
		}
		if e == nil {
			return fmt.Errorf("%s is not in the catalog", s.name)
		}
		for _, c := range e.Checks {
			if c.CheckID == e.Service.ID+"-"+s.name+"-consul-ecs" && c.Status == status {
				return nil
			}
		}
		return fmt.Errorf("%s is not %s", s.name, status)
	})
}

// members checks how the cluster sees the tasks' agents.
func (w *world) members(status string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		err := until(ctx, func(ctx context.Context) error {
			out, err := w.tools.consul(ctx, w.operator(), "members")
			if err != nil {
				return err
			}
			for _, s := range w.services {
				if !isMember(out, s.task.ID, status) {
					return fmt.Errorf("the agent of %s is not %s:\n%s", s.name, status, out)
				}
			}
			return nil
		})
		return "both agents, in partition " + demoPartition, err
	}
}

func isMember(members, name, status string) bool {
	for line := range strings.Lines(members) {
		if strings.HasPrefix(line, name) && strings.Contains(line, status) && strings.Contains(line, demoPartition) {
			return true
		}
	}
	return false
}

// registered waits until the service and its sidecar are in the catalog.
func (w *world) registered(ctx context.Context, s *service) error {
	return until(ctx, func(ctx context.Context) error {
		for _, name := range []string{s.name, s.name + "-sidecar-proxy"} {
			e, err := w.instance(ctx, s, name)
			if err != nil {
				return err
			}
			if e == nil || e.Node.Node != s.task.ID {
				return fmt.Errorf("%s is not in the catalog", name)
			}
		}
		return nil
	})
}

// unregistered waits until neither the service nor its task's node is in the catalog.
func (w *world) unregistered(ctx context.Context, s *service) error {
	return until(ctx, func(ctx context.Context) error {
		e, err := w.instance(ctx, s, s.name)
		if err == nil && e != nil {
			err = fmt.Errorf("%s is still in the catalog", e.Service.ID)
		}
		if err != nil {
			return err
		}
		out, err := w.tools.consul(ctx, w.operator(), "catalog", "nodes", "-partition", demoPartition)
		if err == nil && strings.Contains(out, s.task.ID[:8]) {
			err = fmt.Errorf("the node of %s is still in the catalog:\n%s", s.name, out)
		}
		return err
	})
}

// gone proves that neither token works and that none of the task's is stored.
func (w *world) gone(ctx context.Context, s *service) (string, error) {
	for _, sink := range []string{s.clientToken(), s.serviceToken()} {
		_, err := w.tools.consul(ctx, nil, w.on(sink, "acl", "token", "read", "-self")...)
		if _, err := refusedWith(err, "403", "ACL not found"); err != nil {
			return "", err
		}
	}
	for _, namespace := range []string{"default", demoNamespace} {
		out, err := w.tools.consul(ctx, w.operator(), "acl", "token", "list", "-partition", demoPartition, "-namespace", namespace)
		if err != nil {
			return "", err
		}
		if strings.Contains(out, s.task.ID) {
			return "", fmt.Errorf("a token of the task is still stored:\n%s", out)
		}
	}
	return "403 ACL not found, and none is stored", nil
}
