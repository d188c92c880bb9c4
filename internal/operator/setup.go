package operator

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/cli"
)

// driftCode is the exit code of -plan where something is not as the file says.
const driftCode = 2

// Setup is lictor setup.
func Setup() *cli.Command {
	var c conn
	var planOnly, yes, destroy bool
	var terraform string
	return &cli.Command{
		Name: "setup", Args: "FILE", Short: "Set a cluster up for tasks on ECS",
		Long: "FILE, in HCL or JSON, says which AWS accounts to trust and how. lictor setup compares it with the cluster,\n" +
			"shows what it would change, asks, and changes it: auth methods, policy, role, binding rules, namespace rule,\n" +
			"partition, and the secrets that tasks need. Doing it again changes nothing.\n\n" +
			"  accounts      = [\"123456789012\"]   # whose roles are trusted (required)\n" +
			"  role_path     = \"/consul-ecs/\"     # of these roles\n" +
			"  partition     = \"team-a\"           # that tasks live in\n" +
			"  namespaces    = true               # the role's tag names a task's namespace\n" +
			"  client_policy = \"own-node\"         # or \"documents\": every node\n" +
			"  token_ttl     = \"1h\"               # tasks renew their tokens\n" +
			"  secrets {\n" +
			"    prefix          = \"my-consul\"\n" +
			"    ca_file         = \"consul-agent-ca.pem\"\n" +
			"    gossip_key_file = \"gossip.key\"\n" +
			"  }",
		Flags: func(fs *flag.FlagSet) {
			c.register(fs)
			fs.BoolVar(&planOnly, "plan", false, "only show what would change; exit with 2 if anything would")
			fs.BoolVar(&yes, "yes", false, "change without asking")
			fs.BoolVar(&destroy, "destroy", false, "remove what FILE describes, but for its partition")
			fs.StringVar(&terraform, "terraform", "", "write the same as Terraform to a `file` (- is the standard output) and change nothing")
		},
		Run: func(ctx context.Context, env *cli.Env, args []string) error {
			if len(args) != 1 {
				return errors.New("exactly one FILE is required")
			}
			if terraform != "" && (destroy || planOnly || yes) {
				return errors.New("-terraform changes nothing: it goes without -plan, -destroy and -yes")
			}
			file, err := ReadSetupFile(args[0])
			if err != nil {
				return err
			}
			if terraform != "" {
				return writeTerraform(env, terraform, file)
			}
			plan, err := file.plan(ctx, &c, destroy)
			if err != nil {
				return err
			}
			show(env, plan)
			switch {
			case len(plan) == 0:
				return nil
			case planOnly:
				return cli.ExitCode(driftCode)
			case !yes && !confirmed(env):
				return errors.New("nothing was changed")
			}
			return apply(ctx, env, plan)
		},
	}
}

func writeTerraform(env *cli.Env, name string, file *SetupFile) error {
	if name == "-" {
		_, err := fmt.Fprint(env.Out, file.terraform())
		return err
	}
	return os.WriteFile(name, []byte(file.terraform()), 0o644)
}

// plan compares the file with the cluster and with the secrets.
func (f *SetupFile) plan(ctx context.Context, c *conn, destroy bool) ([]change, error) {
	client, err := c.open()
	if err != nil {
		return nil, err
	}
	compare := f.resources().Plan
	if destroy {
		compare = f.resources().PlanDestroy
	}
	acls, err := compare(ctx, client)
	if err != nil {
		return nil, err
	}
	signs := map[aclsetup.Action]string{aclsetup.Create: "+", aclsetup.Update: "~", aclsetup.Delete: "-"}
	var plan []change
	for _, a := range acls {
		plan = append(plan, change{signs[a.Action], a.String(), a.Details, a.Apply})
	}
	secrets, err := f.planSecrets(ctx, destroy)
	return append(plan, secrets...), err
}

func show(env *cli.Env, plan []change) {
	if len(plan) == 0 {
		fmt.Fprintln(env.Out, "Nothing to change.")
		return
	}
	for _, c := range plan {
		fmt.Fprintf(env.Out, "%s %s\n", c.sign, c.text)
		for _, line := range c.details {
			fmt.Fprintf(env.Out, "    %s\n", line)
		}
	}
}

func confirmed(env *cli.Env) bool {
	fmt.Fprint(env.Out, "\nType yes to make these changes: ")
	line, _ := bufio.NewReader(env.In).ReadString('\n')
	return strings.TrimSpace(line) == "yes"
}

func apply(ctx context.Context, env *cli.Env, plan []change) error {
	for i, c := range plan {
		if err := c.apply(ctx); err != nil {
			return fmt.Errorf("%s: %w (%d of %d changes were made; doing it again goes on)", c.text, err, i, len(plan))
		}
		fmt.Fprintf(env.Out, "[%d/%d] %s\n", i+1, len(plan), c.text)
	}
	return nil
}
