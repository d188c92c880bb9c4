// Package faults runs clusters of built agents through crashes, pauses, partitions
// and rolling changes, under load, and checks what callers saw.
package faults

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/test/cluster"
)

// long runs more faults for longer.
var long = os.Getenv("LICTOR_LONG") != ""

// Two builds of the same source that say of themselves when they were built.
const (
	oldBuild = "2026-01-01T00:00:00Z"
	newBuild = "2026-02-02T00:00:00Z"
)

var oldBinary, newBinary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "lictor-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := run(m, dir)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func run(m *testing.M, dir string) int {
	oldBinary, newBinary = filepath.Join(dir, "consul-old"), filepath.Join(dir, "consul-new")
	for path, date := range map[string]string{oldBinary: oldBuild, newBinary: newBuild} {
		if err := cluster.Build(path, "-X github.com/lictor/lictor/internal/version.BuildDate="+date); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// startCluster starts three servers and some client agents. What they print is
// shown if the test fails.
func startCluster(t *testing.T, clients int) *cluster.Cluster {
	t.Helper()
	return start(t, clients, 1)
}

// startPatient starts a cluster as startCluster does, for a test that leaves the servers' processes alone or stops them
// in an orderly way: they do not elect another leader only because the machine is busy for a moment.
func startPatient(t *testing.T, clients int) *cluster.Cluster {
	t.Helper()
	return start(t, clients, 5)
}

func start(t *testing.T, clients, raftMultiplier int) *cluster.Cluster {
	t.Helper()
	c, err := cluster.New(cluster.Config{
		Dir: t.TempDir(), Binary: oldBinary, Servers: 3, Clients: clients, RaftMultiplier: raftMultiplier,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if t.Failed() {
			for _, a := range append(c.Servers, c.Clients...) {
				t.Logf("%s printed:\n%s", a.Name, a.Log())
			}
		}
	})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// await tries until there is no error any more. An error after all patience ends the test.
func await(t *testing.T, try func() error) {
	t.Helper()
	tick := time.NewTicker(10 * pace)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// again does what may be done more than once until the cluster lets it: on a busy machine
// servers may elect a leader at any time.
func again(t *testing.T, do func() error) {
	t.Helper()
	await(t, func() error {
		err := do()
		if err != nil && !unavailable(err) {
			t.Fatal(err)
		}
		return err
	})
}

// unavailable reports whether err is a server's word that it could not do what it was asked for, or that it said nothing.
func unavailable(err error) bool {
	var no *refusal
	var answer api.StatusError
	var slow net.Error
	switch {
	case errors.As(err, &no):
		return no.status >= http.StatusInternalServerError
	case errors.As(err, &answer):
		return answer.Code >= http.StatusInternalServerError
	}
	return errors.As(err, &slow) && slow.Timeout()
}

// must ends the test with an error of the harness.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
