package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
)

// loginDescription begins the description of a token that a login with metadata made.
const loginDescription = "token created via login: "

// meshTask is a running task that takes part in the mesh.
type meshTask struct{ id, partition, namespace string }

// taskLister finds them.
type taskLister interface {
	meshTasks(ctx context.Context) ([]meshTask, error)
}

// reconcile makes the namespaces of tasks, and deletes the tokens of tasks that no longer run. Tokens
// are listed before tasks, so that one of a task that starts meanwhile is not among them.
func (c *controller) reconcile(ctx context.Context) error {
	namespaces, err := c.namespaces(ctx)
	if err != nil {
		return err
	}
	var tokens []*api.ACLTokenListEntry
	for _, namespace := range namespaces {
		list, _, err := c.consul.ACL().TokenList((&api.QueryOptions{Partition: c.partition, Namespace: namespace}).WithContext(ctx))
		if err != nil {
			return fmt.Errorf("listing tokens: %w", err)
		}
		tokens = append(tokens, list...)
	}
	tasks, err := c.tasks.meshTasks(ctx)
	if err != nil {
		return err
	}
	failed := []error{c.ensureNamespaces(ctx, tasks, namespaces)}
	for _, t := range tokens {
		task, ok := c.taskOf(t)
		if !ok || slices.ContainsFunc(tasks, func(m meshTask) bool { return m.id == task }) {
			continue
		}
		opts := &api.WriteOptions{Partition: t.Partition, Namespace: t.Namespace}
		if _, err := c.consul.ACL().TokenDelete(t.AccessorID, opts.WithContext(ctx)); err != nil && !aclsetup.IsMissing(err) {
			failed = append(failed, fmt.Errorf("deleting token %s: %w", t.AccessorID, err))
			continue
		}
		c.log.Info("token deleted successfully", "accessor_id", t.AccessorID, "task", task)
	}
	return errors.Join(failed...)
}

// taskOf returns the task of the controller's cluster that a token was made for.
func (c *controller) taskOf(t *api.ACLTokenListEntry) (task string, ok bool) {
	text, ok := strings.CutPrefix(t.Description, loginDescription)
	if !ok {
		return "", false
	}
	var meta map[string]string
	if err := json.Unmarshal([]byte(text), &meta); err != nil {
		return "", false
	}
	return meta[aclsetup.MetaTask], meta[aclsetup.MetaTask] != "" && meta[aclsetup.MetaCluster] == c.clusterARN
}

// namespaces returns the namespaces of the controller's partition; one without a name where partitions
// are not used.
func (c *controller) namespaces(ctx context.Context) ([]string, error) {
	if c.partition == "" {
		return []string{""}, nil
	}
	list, _, err := c.consul.Namespaces().List((&api.QueryOptions{Partition: c.partition}).WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("listing namespaces: %w", err)
	}
	var names []string
	for _, n := range list {
		if n.DeletedAt == nil {
			names = append(names, n.Name)
		}
	}
	return names, nil
}

// ensureNamespaces makes the namespaces that tasks are to live in, whose services may read each other.
func (c *controller) ensureNamespaces(ctx context.Context, tasks []meshTask, have []string) error {
	if c.partition == "" {
		return nil
	}
	defaults := func() *api.NamespaceACLConfig {
		return &api.NamespaceACLConfig{PolicyDefaults: []api.ACLLink{{Name: crossNamespace}}}
	}
	var failed []error
	for _, t := range tasks {
		switch {
		case t.partition == "" && t.namespace == "":
			continue
		case t.partition == "" || t.namespace == "":
			failed = append(failed, fmt.Errorf("task %s: task definition requires both partition and namespace tags", t.id))
			continue
		case t.partition != c.partition || slices.Contains(have, t.namespace):
			continue
		}
		ns := &api.Namespace{Name: t.namespace, Partition: c.partition, ACLs: defaults()}
		if _, _, err := c.consul.Namespaces().Create(ns, (&api.WriteOptions{Partition: c.partition}).WithContext(ctx)); err != nil {
			failed = append(failed, fmt.Errorf("making namespace %q: %w", t.namespace, err))
			continue
		}
		have = append(have, t.namespace)
		c.log.Info("namespace created", "namespace", t.namespace)
	}
	return errors.Join(append(failed, c.defaultNamespaceReads(ctx))...)
}

// defaultNamespaceReads lets services of the default namespace read the others, too.
func (c *controller) defaultNamespaceReads(ctx context.Context) error {
	ns, _, err := c.consul.Namespaces().Read("default", (&api.QueryOptions{Partition: c.partition}).WithContext(ctx))
	if err != nil || ns == nil {
		return err
	}
	if ns.ACLs == nil {
		ns.ACLs = &api.NamespaceACLConfig{}
	}
	if slices.ContainsFunc(ns.ACLs.PolicyDefaults, func(l api.ACLLink) bool { return l.Name == crossNamespace }) {
		return nil
	}
	ns.ACLs.PolicyDefaults = append(ns.ACLs.PolicyDefaults, api.ACLLink{Name: crossNamespace})
	_, _, err = c.consul.Namespaces().Update(ns, (&api.WriteOptions{Partition: c.partition}).WithContext(ctx))
	return err
}
