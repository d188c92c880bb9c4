// Package cli is the consul command line: a tree of commands on the standard
// flag package. A command parses its flags, calls the API through the published
// client and prints the answer to Env.Out; complaints go to Env.Err. Texts,
// layouts and exit codes are those of spec/cli.md, because scripts match them.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// Command is a node of the tree: a command if Run is set, else a group of Sub.
type Command struct {
	Name  string
	Args  string // the positional arguments as the usage shows them, such as "[FILE|-]"
	Short string // one line without a full stop
	Long  string // paragraphs for the usage; may be empty

	Flags     func(*flag.FlagSet)
	FlagError string // comes before what is wrong with a flag
	// Run does the work; args are the positional arguments. The text of an
	// error is printed as it is and the exit code is 1, unless the error is an
	// ExitCode or wraps one.
	Run func(ctx context.Context, env *Env, args []string) error

	Sub []*Command
}

// Env is the world that a command runs in.
type Env struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv reads an environment variable. The API client falls back to the
	// process's own environment for what Getenv leaves empty.
	Getenv func(string) string
}

// OSEnv is the world of the process.
func OSEnv() *Env {
	return &Env{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Getenv: os.Getenv}
}

// ExitCode is an error that says nothing and only chooses the exit code.
type ExitCode int

func (c ExitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a complaint that is followed by the command's usage, on the
// same stream or, if usageOnOut is set, on Env.Out.
type usageError struct {
	text       string
	usageOnOut bool
}

func (e *usageError) Error() string { return e.text }

// misuse returns a complaint that is followed by the command's usage.
func misuse(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// complain is fmt.Errorf for text that a user reads as a sentence.
func complain(format string, args ...any) error {
	return fmt.Errorf(format, args...)
}

const (
	exitFailure        = 1
	exitUnknownCommand = 127 // only for the first word; inside a group it is exitFailure
)

// Run finds the command in root that args name, runs it and returns the exit
// code of the process.
func Run(ctx context.Context, env *Env, root *Command, args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "-v", "-version", "--version":
			args = append([]string{"version"}, args[1:]...)
		}
	}
	return root.dispatch(ctx, env, root.Name, exitUnknownCommand, args)
}

// dispatch runs c, whose words so far are path. A word that names nothing in a
// group gives the code unknown.
func (c *Command) dispatch(ctx context.Context, env *Env, path string, unknown int, args []string) int {
	if c.Run != nil {
		return c.execute(ctx, env, path, args)
	}
	if len(args) == 0 {
		c.usage(env.Err, path, nil)
		return unknown
	}
	switch args[0] {
	case "-h", "-help", "--help":
		c.usage(env.Out, path, nil)
		return 0
	case "help":
		return c.dispatch(ctx, env, path, unknown, append(args[1:len(args):len(args)], "-h"))
	}
	for _, sub := range c.Sub {
		if sub.Name == args[0] {
			return sub.dispatch(ctx, env, path+" "+sub.Name, exitFailure, args[1:])
		}
	}
	c.usage(env.Err, path, nil)
	return unknown
}

// execute parses the flags of c and runs it.
func (c *Command) execute(ctx context.Context, env *Env, path string, args []string) int {
	fs := c.flagSet()
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		c.usage(env.Out, path, fs)
		return 0
	} else if err != nil {
		fmt.Fprintf(env.Err, "%s%v\n\n", c.FlagError, err)
		c.usage(env.Err, path, fs)
		return exitFailure
	}

	err := c.Run(ctx, env, fs.Args())
	var code ExitCode
	var wrong *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &wrong):
		if wrong.usageOnOut {
			fmt.Fprintln(env.Err, err)
			c.usage(env.Out, path, fs)
			return exitFailure
		}
		fmt.Fprintf(env.Err, "%v\n\n", err)
		c.usage(env.Err, path, fs)
		return exitFailure
	}
	fmt.Fprintln(env.Err, err)
	return exitFailure
}

// flagSet returns the flags of c, which print nothing by themselves.
func (c *Command) flagSet() *flag.FlagSet {
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	if c.Flags != nil {
		c.Flags(fs)
	}
	return fs
}

// usage prints what c is for and how to call it. fs is nil for a group.
func (c *Command) usage(w io.Writer, path string, fs *flag.FlagSet) {
	if fs == nil {
		c.groupUsage(w, path)
		return
	}
	var own, common []*flag.Flag
	fs.VisitAll(func(f *flag.Flag) {
		if connectionFlags[f.Name] && fs.Lookup("http-addr") != nil {
			common = append(common, f)
		} else {
			own = append(own, f)
		}
	})
	line := "Usage: " + path
	if len(own)+len(common) > 0 {
		line += " [options]"
	}
	if c.Args != "" {
		line += " " + c.Args
	}
	fmt.Fprintf(w, "%s\n\n  %s.\n", line, c.Short)
	if c.Long != "" {
		fmt.Fprintf(w, "\n%s", indent("  ", strings.TrimSpace(c.Long)+"\n"))
	}
	printFlags(w, "Options", own)
	printFlags(w, "Options for reaching the API", common)
}

func (c *Command) groupUsage(w io.Writer, path string) {
	fmt.Fprintf(w, "Usage: %s <command> [options] [arguments]\n\n  %s.\n", path, c.Short)
	if c.Long != "" {
		fmt.Fprintf(w, "\n%s", indent("  ", strings.TrimSpace(c.Long)+"\n"))
	}
	width := 0
	for _, sub := range c.Sub {
		width = max(width, len(sub.Name))
	}
	fmt.Fprint(w, "\nCommands:\n\n")
	for _, sub := range c.Sub {
		fmt.Fprintf(w, "  %-*s  %s\n", width, sub.Name, sub.Short)
	}
}

func printFlags(w io.Writer, title string, flags []*flag.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n\n", title)
	for _, f := range flags {
		name, usage := flag.UnquoteUsage(f)
		head := "-" + f.Name
		if name != "" {
			head += " " + name
		}
		switch f.DefValue {
		case "", "0", "0s", "false":
		default:
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  %s\n        %s\n", head, usage)
	}
}
