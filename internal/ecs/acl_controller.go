package ecs

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

// reconcileInterval is how often tokens of tasks that are gone are looked for.
const reconcileInterval = 10 * time.Second

// controller is one run of acl-controller (ecs.md section 9): it makes what logins of tasks
// need, and removes the tokens of tasks that have stopped without logging out.
type controller struct {
	inTask
	consul     *api.Client
	tasks      taskLister
	interval   time.Duration
	clusterARN string
	accountID  string
	rolePath   string // of the roles to trust, without slashes around it; "" trusts all
	partition  string // "" where partitions are not used
}

func aclController(ctx context.Context, env *Env, args []string) error {
	fs := flag.NewFlagSet("acl-controller", flag.ContinueOnError)
	path := fs.String("iam-role-path", "", "`path` of the IAM roles to trust; every role if empty")
	enabled := fs.Bool("partitions-enabled", false, "tasks and their objects live in an admin partition")
	partition := fs.String("partition", "", "admin `partition` of the tasks; default if empty")
	level := fs.String("log-level", "INFO", "least important `level` of messages")
	if err := env.parse(fs, args); err != nil {
		return err
	}
	if err := noArguments(fs.Args()); err != nil {
		return err
	}
	switch {
	case *partition != "" && !*enabled:
		return errors.New("partition flag provided without partitions-enabled flag")
	case *enabled && *partition == "":
		*partition = "default"
	}
	log, err := env.logger(*level)
	if err != nil {
		return err
	}
	ctx, stop := untilTerminated(ctx, env)
	defer stop()
	c := &controller{inTask: inTask{log: log, getenv: env.Getenv}, interval: reconcileInterval, rolePath: strings.Trim(*path, "/"), partition: *partition}
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.setUp(ctx); err != nil {
		return err
	}
	c.run(ctx)
	return nil
}

// connect finds out where the controller runs, and makes the clients of AWS and of the servers.
func (c *controller) connect(ctx context.Context) error {
	if err := c.readTask(ctx); err != nil {
		return err
	}
	var err error
	if c.clusterARN, err = c.task.ClusterARN(); err != nil {
		return err
	}
	if c.accountID, err = c.task.Account(); err != nil {
		return err
	}
	region, err := c.region()
	if err != nil {
		return err
	}
	if c.tasks, err = newECSAPI(ctx, c.getenv, region, c.clusterARN); err != nil {
		return err
	}
	config := api.DefaultConfig()
	if pem := c.getenv("CONSUL_CACERT_PEM"); pem != "" {
		config.TLSConfig.CAPem = []byte(pem)
	}
	c.consul, err = newClient(config)
	return err
}

// setUp makes what is missing of the objects that logins need.
func (c *controller) setUp(ctx context.Context) error {
	self, err := c.consul.Agent().Self()
	if err != nil {
		return fmt.Errorf("asking the servers for their configuration: %w", err)
	}
	want := c.resources()
	if !isPrimary(self) {
		want.AnonymousReads = nil
	}
	plan, err := want.Plan(ctx, c.consul)
	if err != nil {
		return err
	}
	return aclsetup.Apply(ctx, plan, func(change aclsetup.Change) { c.log.Info("ACLs set up", "change", change.String()) })
}

// isPrimary reports whether the servers are those of the datacenter that ACLs are written in.
func isPrimary(self map[string]map[string]any) bool {
	own := self["Config"]["Datacenter"]
	primary := self["Config"]["PrimaryDatacenter"]
	if primary == nil {
		primary = self["DebugConfig"]["PrimaryDatacenter"]
	}
	return primary == nil || primary == "" || own == primary
}

// run removes tokens of tasks that are gone, until ctx is done.
func (c *controller) run(ctx context.Context) {
	wait := c.interval
	for failures := 0; sleep.For(ctx, wait); {
		wait = c.interval
		err := c.reconcile(ctx)
		if err == nil || ctx.Err() != nil {
			failures = 0
			continue
		}
		c.log.Error("error during reconcile", logging.Err, err)
		if classOf(err) == throttled {
			wait += backoffs[throttled].wait(failures)
			failures++
		}
	}
}
