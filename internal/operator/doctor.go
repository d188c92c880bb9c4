package operator

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/cli"
	"github.com/lictor/lictor/internal/ecsconfig"
	"github.com/lictor/lictor/internal/taskmeta"
)

// severity is how bad a finding is.
type severity string

// The severities. What could not be looked at is skipped: neither right nor wrong.
const (
	okay    severity = "ok"
	warning severity = "warning"
	failure severity = "error"
	skipped severity = "skipped"
)

// warningCode is the exit code where something may become wrong and nothing is.
const warningCode = 2

// finding is what one check has found. Neither line ever holds a secret.
type finding struct {
	Check    string
	Severity severity
	What     string
	Remedy   string `json:",omitempty"`
}

// findings collects what a check finds.
type findings struct {
	check string
	list  []finding
}

func (f *findings) add(s severity, remedy, format string, args ...any) {
	oneLine := strings.NewReplacer("\n", " ", "\r", " ", "\t", " ")
	f.list = append(f.list, finding{f.check, s, oneLine.Replace(fmt.Sprintf(format, args...)), oneLine.Replace(remedy)})
}

func (f *findings) ok(format string, args ...any)   { f.add(okay, "", format, args...) }
func (f *findings) skip(format string, args ...any) { f.add(skipped, "", format, args...) }

func (f *findings) warn(remedy, format string, args ...any) { f.add(warning, remedy, format, args...) }
func (f *findings) fail(remedy, format string, args ...any) { f.add(failure, remedy, format, args...) }

// doctorOptions are the flags.
type doctorOptions struct {
	conn          conn
	agentAddr     string
	format        string
	timeout       time.Duration
	region        string
	role          string
	rolePath      string
	partition     string
	clientMethod  string
	serviceMethod string
	certificates  []string
	expiresWithin time.Duration
	gossipKeyFile string
	compareGossip bool
	goneFor       time.Duration
}

func (o *doctorOptions) register(fs *flag.FlagSet) {
	o.conn.register(fs)
	fs.StringVar(&o.agentAddr, "agent-addr", "", "`address` of the task's agent; in a task 127.0.0.1:8500, elsewhere none")
	fs.StringVar(&o.format, "format", "pretty", "output `format`: pretty or json")
	fs.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long each check may take")
	fs.StringVar(&o.region, "region", "", "AWS `region`; that of the AWS configuration or of the task if empty")
	fs.StringVar(&o.role, "role", "", "`name` of the task role to look at; that of the AWS credentials if empty")
	fs.StringVar(&o.rolePath, "role-path", "/consul-ecs/", "`path` that task roles have")
	fs.StringVar(&o.partition, "partition", "", "admin `partition` of the auth methods; that of the task if empty")
	fs.StringVar(&o.clientMethod, "client-method", aclsetup.DefaultClientMethod, "`name` of the auth method for client tokens")
	fs.StringVar(&o.serviceMethod, "service-method", "", "`name` of the auth method for service tokens; the task's, or "+aclsetup.DefaultServiceMethod)
	fs.Func("certificate", "`file` with certificates to look at; repeat for more", func(file string) error {
		o.certificates = append(o.certificates, file)
		return nil
	})
	fs.DurationVar(&o.expiresWithin, "expires-within", 30*24*time.Hour, "warn of certificates that end so soon")
	fs.StringVar(&o.gossipKeyFile, "gossip-key-file", "", "`file` with the gossip key; the variable CONSUL_GOSSIP_ENCRYPTION_KEY if empty")
	fs.BoolVar(&o.compareGossip, "compare-gossip-key", false, "compare the gossip key with the cluster's, for which the token needs keyring:read")
	fs.DurationVar(&o.goneFor, "gone-for", time.Hour, "how old a token of a task that is gone has to be to be called stale")
}

// Doctor is lictor doctor.
func Doctor() *cli.Command {
	var o doctorOptions
	return &cli.Command{
		Name: "doctor", Short: "Find out what is wrong with a task or a cluster",
		Long: "It looks from where it runs, a task's container or a workstation, and changes nothing. In a task it takes\n" +
			"its settings from CONSUL_ECS_CONFIG_JSON and the task's metadata. What the token or the role may not\n" +
			"look at is skipped, and said so.\n\n" +
			"The exit code is 0 if all is well, 1 if there are errors, 2 if there are only warnings.",
		Flags: o.register,
		Run: func(ctx context.Context, env *cli.Env, args []string) error {
			if len(args) > 0 {
				return errors.New("Should have no non-flag arguments.")
			}
			if o.format != "pretty" && o.format != "json" {
				return fmt.Errorf("Unknown format: %s", o.format)
			}
			d := &doctor{doctorOptions: o, env: env, now: time.Now}
			return d.examine(ctx)
		},
	}
}

// doctor is one examination: what it was told, and what checks have found out for later ones.
type doctor struct {
	doctorOptions
	env     *cli.Env
	now     func() time.Time
	config  *ecsconfig.Config // nil outside of a task
	task    *taskmeta.Task    // likewise
	servers *endpoint
	agent   *endpoint // nil if there is none
	aws     *awsSide  // nil without credentials
	roleHad *taskRole // nil if the role could not be read
}

// check is one step. It finds nothing where it does not apply.
type check struct {
	name string
	run  func(ctx context.Context, f *findings)
}

func (d *doctor) checks() []check {
	return []check{
		{"task", d.checkTask},
		{"servers", d.checkServers},
		{"agent", d.checkAgent},
		{"credentials", d.checkCredentials},
		{"role", d.checkRole},
		{"clock", d.checkClock},
		{"certificates", d.checkCertificates},
		{"gossip key", d.checkGossipKey},
		{"auth methods", d.checkMethods},
		{"login", d.checkLogin},
		{"tokens", d.checkTokens},
		{"autopilot", d.checkAutopilot},
	}
}

// examine runs all checks, showing progress as it goes.
func (d *doctor) examine(ctx context.Context) error {
	var all []finding
	checks := d.checks()
	for i, c := range checks {
		fmt.Fprintf(d.env.Err, "[%d/%d] %s\n", i+1, len(checks), c.name)
		f := &findings{check: c.name}
		bounded, cancel := context.WithTimeout(ctx, d.timeout)
		c.run(bounded, f)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if d.format == "pretty" {
			showFindings(d.env.Out, f.list)
		}
		all = append(all, f.list...)
	}
	return d.conclude(all)
}

func showFindings(w io.Writer, list []finding) {
	for _, f := range list {
		fmt.Fprintf(w, "%-8s %s: %s\n", f.Severity, f.Check, f.What)
		if f.Remedy != "" {
			fmt.Fprintf(w, "         → %s\n", f.Remedy)
		}
	}
}

func (d *doctor) conclude(all []finding) error {
	count := func(s severity) (n int) {
		for _, f := range all {
			if f.Severity == s {
				n++
			}
		}
		return n
	}
	errs, warnings := count(failure), count(warning)
	if d.format == "json" {
		text, err := json.MarshalIndent(map[string]any{"Findings": all, "Errors": errs, "Warnings": warnings}, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(d.env.Out, "%s\n", text)
	} else {
		fmt.Fprintf(d.env.Out, "\n%s, %s, %d ok, %d skipped\n", plural(errs, "error"), plural(warnings, "warning"), count(okay), count(skipped))
	}
	switch {
	case errs > 0:
		return cli.ExitCode(1)
	case warnings > 0:
		return cli.ExitCode(warningCode)
	}
	return nil
}

// checkTask finds out whether it runs in a task, and connects to what the task is told to.
func (d *doctor) checkTask(ctx context.Context, f *findings) {
	d.readTask(ctx, f)
	if d.serviceMethod == "" {
		d.serviceMethod = aclsetup.DefaultServiceMethod
		if d.config != nil {
			d.serviceMethod = d.config.ConsulLogin.Method
		}
	}
	if d.partition == "" && d.config != nil {
		flags := d.config.ConsulLogin.ExtraLoginFlags
		if i := slices.Index(flags, "-partition"); i >= 0 && i+1 < len(flags) {
			d.partition = flags[i+1]
		}
	}
	var err error
	if d.servers, err = d.connectServers(); err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "the settings of the servers: %s", what)
	}
	if d.agent, err = d.connectAgent(); err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "the settings of the agent: %s", what)
	}
}

func (d *doctor) readTask(ctx context.Context, f *findings) {
	var err error
	if d.env.Getenv(ecsconfig.EnvironmentVariable) != "" {
		if d.config, err = ecsconfig.FromEnv(d.env.Getenv); err != nil {
			f.fail("correct what is named; docs/ecs-config.schema.json says what there is", "%s: %v", ecsconfig.EnvironmentVariable, err)
		} else {
			f.ok("%s is valid", ecsconfig.EnvironmentVariable)
		}
	}
	metadata, err := taskmeta.FromEnv(d.env.Getenv)
	if err != nil {
		if d.config != nil {
			f.warn("run it in a container of the task: ECS sets the variable", "%v", err)
		} else {
			f.ok("this is no ECS task: what follows is seen from here")
		}
		return
	}
	if d.task, err = metadata.Task(ctx); err != nil {
		f.fail("use the platform version 1.4.0 or later, or an ECS agent 1.39.0 or later", "the task's metadata: %v", err)
		return
	}
	f.ok("task %s of %s", d.task.ID(), d.task.Family)
}

// bootstrapFile returns the name of a file of the task, or "" if there is none.
func (d *doctor) bootstrapFile(name string) string {
	if d.config == nil {
		return ""
	}
	file := filepath.Join(d.config.BootstrapDir, name)
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}
