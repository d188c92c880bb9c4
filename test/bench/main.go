// Command bench measures a built consul server as its clients see it, and a bare HTTP
// handler beside it in the same run: figures vary from machine to machine, their ratio to
// that floor hardly does. It needs Linux, for what a process takes.
//
//	go run ./test/bench                     # builds consul and measures it
//	go run ./test/bench -binary other       # measures another build
//	go run ./test/bench -only watch,load    # some of it
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/test/cluster"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == floorArg {
		if err := serveFloor(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// The sizes that the targets are for.
const (
	nodes       = 500
	services    = 5000
	names       = 500 // of services: ten instances each
	loaders     = 32
	readers     = 64
	watchers    = 2000
	wakes       = 5 // the median counts
	readingTime = 3 * time.Second
)

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	binary := flags.String("binary", "", "`path` of the consul to measure; empty builds ours")
	profiles := flags.String("profiles", "", "`directory` for profiles of the server, which cost some of its time")
	only := flags.String("only", "read,watch,restart", "what to measure after the load, a `list`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lictor-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *binary == "" {
		*binary = filepath.Join(dir, "consul")
		if err := cluster.Build(*binary, "-s -w"); err != nil {
			return err
		}
	}
	s, err := startServer(dir, *binary)
	if err != nil {
		return err
	}
	defer s.stop()
	s.profiles = *profiles
	r := &report{out: out}
	fmt.Fprintf(out, "load of the machine: %s\n\n", machineLoad())
	fmt.Fprint(out, "| what | figure | target |\n| --- | --- | --- |\n")
	if err := measureLoad(ctx, s, r); err != nil {
		return err
	}
	for _, m := range []struct {
		name    string
		measure func(context.Context, *process, *report) error
	}{{"read", measureReads}, {"watch", measureWatch}, {"restart", measureRestart}} {
		if slices.Contains(strings.Split(*only, ","), m.name) {
			if err := m.measure(ctx, s, r); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		}
	}
	return nil
}

// report prints figures as rows of a table.
type report struct{ out io.Writer }

func (r *report) row(what, target, format string, figures ...any) {
	fmt.Fprintf(r.out, "| %s | %s | %s |\n", what, fmt.Sprintf(format, figures...), target)
}

// median returns the one in the middle.
func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
