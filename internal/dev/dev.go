// Package dev runs the whole system on one machine: a local AWS, a cluster of
// servers with ACLs in default deny, the set-up of the two documents this project
// started from, and two ECS tasks that log in, join with agents of their own, register, call each other
// through the mesh and leave. Every step is a command that a person could type, run as a process of its own.
package dev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/awslocal/taskrun"
	"github.com/lictor/lictor/internal/logging"
)

// Options say how lictor dev runs. The zero value plays the flow on the
// usual ports and keeps running.
type Options struct {
	Once      bool   // end after the flow
	Servers   int    // of the cluster, 1, 3 or 5; 0 means 3
	Dir       string // where everything is kept; empty means a temporary directory that goes at the end
	HTTPPort  int    // 0 means 8500, or a free port where that is taken
	HTTPSPort int    // 0 means 8501, or a free port where that is taken
	Color     bool
	Out       io.Writer
}

// Names of what dev sets up. The demo lives in a partition of its own, so that
// the documents' commands can be typed as they stand in the default partition
// and in the empty one.
const (
	demoPartition  = "demo"
	emptyPartition = "team-a"
	demoNamespace  = "team-1"
	account        = "123456789012"
	region         = "us-west-2"
	clusterName    = "lictor-dev"
	clientMethod   = "iam-ecs-client-token"
	serviceMethod  = "iam-ecs-service-token"
	crossNamespace = "cross-namespace-read"
)

// world is what a run has built so far.
type world struct {
	opts       Options
	dir        string
	report     *report
	tools      tools
	aws        *awslocal.Server
	tasks      *taskrun.Runner
	services   []*service
	servers    []*node
	management logging.Secret
	gossipKey  logging.Secret
}

// Run plays the flow, each step on opts.Out as it happens, and then keeps
// running until ctx ends, unless opts.Once. It returns an error if any step
// did not hold, also because ctx ended before. What it started is stopped before it returns.
func Run(ctx context.Context, opts Options) error {
	began := time.Now()
	w := &world{opts: opts, report: &report{out: opts.Out, color: opts.Color, now: time.Now}}
	remove, err := w.makeDir()
	if err != nil {
		return err
	}
	defer remove()
	defer w.close()
	for _, play := range []func(context.Context) error{w.start, w.setUp, w.playTasks, w.playRefusals} {
		if err := play(ctx); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted before every step held")
			}
			return w.explain(err)
		}
	}
	fmt.Fprintf(opts.Out, "\n%d steps held in %s.\n", w.report.steps, roundly(time.Since(began)))
	if opts.Once {
		return nil
	}
	if err := w.goOn(ctx); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		fmt.Fprintln(opts.Out, "\nStopping.")
		return w.stopServices(context.WithoutCancel(ctx))
	case n := <-w.anyEnded():
		return w.explain(fmt.Errorf("%s ended: %v", n.name, n.process.err))
	}
}

// makeDir makes the directory that everything is kept in and returns what
// removes it if it is temporary.
func (w *world) makeDir() (remove func(), err error) {
	if w.opts.Dir != "" {
		w.dir, err = filepath.Abs(w.opts.Dir)
		if err == nil {
			err = os.MkdirAll(w.dir, 0o700)
		}
		if _, old := os.Stat(w.file("data-server-1")); err == nil && old == nil {
			err = fmt.Errorf("%s holds the data of an earlier run: remove it, or name another directory", w.dir)
		}
		return func() {}, err
	}
	w.dir, err = os.MkdirTemp("", "lictor-dev-")
	return func() { _ = os.RemoveAll(w.dir) }, err
}

func (w *world) close() {
	if w.tasks != nil {
		_ = w.tasks.Close()
	}
	var stopping sync.WaitGroup
	for _, n := range w.servers {
		if n.process != nil {
			stopping.Go(n.process.stop)
		}
	}
	stopping.Wait()
	if w.aws != nil {
		_ = w.aws.Close()
	}
}

// anyEnded returns the first server that ends.
func (w *world) anyEnded() <-chan *node {
	ended := make(chan *node, len(w.servers))
	for _, n := range w.servers {
		go func() {
			<-n.process.done
			ended <- n
		}()
	}
	return ended
}

// explain adds the end of the first server's log to an error, where that may help.
func (w *world) explain(err error) error {
	var failed *commandError
	if len(w.servers) == 0 || errors.As(err, &failed) {
		return err
	}
	log, readErr := os.ReadFile(w.logOf(w.servers[0]))
	if readErr != nil {
		return err
	}
	return fmt.Errorf("%w\nthe log of %s ends:\n%s", err, w.servers[0].name, log[max(0, len(log)-2048):])
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }
func (w *world) logOf(n *node) string    { return w.file(n.name + ".log") }
func (w *world) caFile() string          { return w.file("consul-https-ca-cert.pem") }
