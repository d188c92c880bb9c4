// Command clienttests runs the tests of the published Go client against our
// consul. They start the consul that they find on PATH. It compares the outcomes with
// expected.txt and exits with 1 if one differs.
//
//	go run ./test/compat/clienttests                 # everything
//	go run ./test/compat/clienttests -group 'acl'    # groups by regular expression
//	go run ./test/compat/clienttests -run 'Token'    # tests by regular expression
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "clienttests:", err)
		os.Exit(1)
	}
}

var errDiffer = errors.New("outcomes differ from expected.txt")

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("clienttests", flag.ContinueOnError)
	groupPattern := flags.String("group", "", "`regular expression` of the groups to run")
	testPattern := flags.String("run", "", "`regular expression` of the tests to run")
	keep := flags.Bool("keep", false, "keep the directory with the logs also when all is as expected")
	if err := flags.Parse(args); err != nil {
		return err
	}
	groupMatch, err := regexp.Compile(*groupPattern)
	if err != nil {
		return err
	}
	testMatch, err := regexp.Compile(*testPattern)
	if err != nil {
		return err
	}
	groups, err := parseExpected(expectedText)
	if err != nil {
		return err
	}
	b, err := newBench(ctx)
	if err != nil {
		return err
	}
	differ := 0
	for _, g := range groups {
		g = g.matching(testMatch)
		if !groupMatch.MatchString(g.name) || len(g.tests) == 0 {
			continue
		}
		began := time.Now()
		got, err := b.run(ctx, g)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		n := report(out, g, got)
		fmt.Fprintf(out, "%-28s %3d tests, %3d pass, %d not as expected, %.0f s\n", g.name, len(g.tests), got.count(pass), n, time.Since(began).Seconds())
		differ += n
	}
	if differ > 0 {
		fmt.Fprintln(out, "logs are in", b.dir)
		return errDiffer
	}
	if *keep {
		fmt.Fprintln(out, "logs are in", b.dir)
		return nil
	}
	return os.RemoveAll(b.dir)
}

// report prints what is not as expected and returns how many that are.
func report(out io.Writer, g group, got outcomes) int {
	differ := 0
	for _, t := range g.tests {
		o, ran := got[t.name]
		switch {
		case !ran:
			fmt.Fprintf(out, "%s: did not run to its end\n", t.name)
		case o != t.outcome:
			fmt.Fprintf(out, "%s: %s, expected %s\n", t.name, o, t.outcome)
		default:
			continue
		}
		differ++
	}
	return differ
}
