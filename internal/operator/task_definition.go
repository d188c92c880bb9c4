package operator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/lictor/lictor/internal/cli"
)

// maxTaskDefinition is what ECS takes (64 KiB), and then some for white space.
const maxTaskDefinition = 1 << 20

// TaskDefinition is lictor task-definition.
func TaskDefinition() *cli.Command {
	flags := given{}
	var config, out string
	return &cli.Command{
		Name: "task-definition", Args: "FILE|-", Short: "Put a task of ECS into the mesh",
		Long: "FILE is a task definition as aws ecs register-task-definition takes it, or describe-task-definition prints\n" +
			"it; - is the standard input. It comes back with what the mesh needs: the containers consul-ecs-mesh-init,\n" +
			"consul-client, sidecar-proxy and consul-ecs-health-sync, their volumes, secrets and health checks,\n" +
			"the tags of the task, and an application that waits for its proxy. Everything else stays as it is. What\n" +
			"was decorated before is decorated anew.\n\n" +
			"Settings are flags, or stand in a file of -config, in HCL or JSON; flags count before the file:\n\n" +
			"  service           = \"shop\"\n" +
			"  upstreams         = [\"stock:1234\"]\n" +
			"  server_addr       = \"https://consul.internal:8501\"\n" +
			"  retry_join        = [\"consul.internal\"]\n" +
			"  ca_secret         = \"arn:aws:secretsmanager:…:secret:consul-ca-cert\"\n" +
			"  https_ca_secret   = \"arn:aws:secretsmanager:…:secret:consul-ca-cert\"\n" +
			"  gossip_key_secret = \"arn:aws:secretsmanager:…:secret:consul-gossip-key\"\n" +
			"  consul_image      = \"123456789012.dkr.ecr.us-east-1.amazonaws.com/consul:0.1.0\"\n" +
			"  consul_ecs_image  = \"123456789012.dkr.ecr.us-east-1.amazonaws.com/consul-ecs:0.1.0\"",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&config, "config", "", "`file` with settings")
			fs.StringVar(&out, "o", "-", "`file` to write to; - is the standard output")
			flags.register(fs)
		},
		Run: func(_ context.Context, env *cli.Env, args []string) error {
			if len(args) != 1 {
				return errors.New("exactly one FILE is required, or - for the standard input")
			}
			settings, err := flags.settings(config)
			if err != nil {
				return err
			}
			text, err := readInput(env, args[0])
			if err != nil {
				return err
			}
			decorated, notes, err := decorate(text, *settings)
			if err != nil {
				return err
			}
			for _, note := range notes {
				fmt.Fprintln(env.Err, "Note:", note)
			}
			if out != "-" {
				return os.WriteFile(out, decorated, 0o644)
			}
			_, err = env.Out.Write(decorated)
			return err
		},
	}
}

func readInput(env *cli.Env, name string) ([]byte, error) {
	if name == "-" {
		return readAtMost(env.In, "the standard input", maxTaskDefinition)
	}
	return readBounded(name, maxTaskDefinition)
}

// decorate puts the task of a definition into the mesh. Notes are what the operator should know.
func decorate(text []byte, s taskSettings) (out []byte, notes []string, err error) {
	if !utf8.Valid(text) {
		return nil, nil, errors.New("the task definition: not UTF-8")
	}
	d := decorator{taskSettings: s}
	if err := json.Unmarshal(text, &d.def); err != nil {
		return nil, nil, fmt.Errorf("the task definition: %w", err)
	}
	for _, step := range []func() error{
		d.unwrap, d.undecorate, d.fill, d.check, d.decorateTask, d.decorateApps, d.addContainers, d.checkLimits,
	} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(d.def)
	return b.Bytes(), d.notes, err
}
