package cli

import (
	"context"
	"flag"
	"fmt"

	"github.com/lictor/lictor/internal/config"
)

// validate is consul validate: it reads a configuration as the agent would and
// says whether it is good.
func validate() *Command {
	var format config.Sources
	var quiet bool
	return &Command{
		Name: "validate", Args: "FILE_OR_DIRECTORY...", Short: "Check configuration files",
		Long: "Files and directories are read in the given order, as an agent reads them, and together must be a complete configuration.",
		Flags: func(fs *flag.FlagSet) {
			format.FormatFlag(fs)
			fs.BoolVar(&quiet, "quiet", false, "print nothing if the configuration is valid")
		},
		Run: func(_ context.Context, env *Env, args []string) error {
			if len(args) == 0 {
				return complain("Must specify at least one config file or directory")
			}
			from := format
			from.Paths = args
			_, warnings, err := config.Load(from)
			if err != nil {
				return complain("Config validation failed: %w", err)
			}
			if quiet {
				return nil
			}
			for _, w := range warnings {
				fmt.Fprintln(env.Err, w)
			}
			_, err = fmt.Fprintln(env.Out, "Configuration is valid!")
			return err
		},
	}
}
