package cli

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/lictor/lictor/internal/audit"
)

// auditTrail is the group of what is done with the files of an audit trail.
func auditTrail() *Command {
	return &Command{
		Name: "audit", Short: "Check the files of an audit trail",
		Sub: []*Command{auditVerify()},
	}
}

// auditVerify is consul audit verify.
func auditVerify() *Command {
	var p printer
	var mixed bool
	var heads []string
	return &Command{
		Name: "verify", Args: "FILE...", Short: "Find what was cut, altered or moved in an audit trail",
		Long: "With one FILE, those that were set aside for it are read before it, and its end is compared with FILE.head.\n" +
			"What is printed as the head may be kept elsewhere: given as -head later, it shows that nothing up to there was changed since.",
		Flags: func(fs *flag.FlagSet) {
			p.formatFlag(fs)
			fs.BoolVar(&mixed, "mixed", false, "pass over lines that are no events, as in what was caught from a standard output")
			fs.Func("head", "a `head` that the trail has to hold; may be given several times", func(s string) error {
				heads = append(heads, s)
				return nil
			})
		},
		Run: func(_ context.Context, env *Env, args []string) error {
			if len(args) == 0 {
				return complain("Missing FILE argument")
			}
			if err := p.check(); err != nil {
				return err
			}
			r, err := audit.Verify(args, heads, mixed)
			if err != nil {
				return complain("Error reading the audit trail: %w", err)
			}
			if err := p.print(env.Out, r, jsonNarrow, func(w io.Writer) { writeReport(w, r) }); err != nil {
				return err
			}
			if len(r.Faults) > 0 {
				return ExitCode(exitFailure)
			}
			return nil
		},
	}
}

func writeReport(w io.Writer, r *audit.Report) {
	for _, name := range r.Files {
		fmt.Fprintf(w, "File:    %s\n", name)
	}
	if r.Head == "" {
		fmt.Fprintln(w, "Events:  none")
	} else {
		fmt.Fprintf(w, "Events:  %d to %d\nHead:    %s\n", r.First, r.Last, r.Head)
	}
	if r.First > 1 {
		fmt.Fprintf(w, "Note:    events 1 to %d are in files that are not here\n", r.First-1)
	}
	if r.Torn > 0 {
		fmt.Fprintf(w, "Note:    the last line breaks off after %d bytes; the agent repairs it when it starts\n", r.Torn)
	}
	if r.Open {
		fmt.Fprintln(w, "Note:    no head is known, so it cannot be said whether the end is cut")
	}
	for _, fault := range r.Faults {
		fmt.Fprintf(w, "FAULT:   %s\n", fault)
	}
	if len(r.Faults) == 0 {
		fmt.Fprintln(w, "The trail is whole.")
	}
}
