package ecs

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
)

// TestMain lets children hear SIGHUP, also where whoever runs the tests ignores it, as nohup does: a shell cannot trap
// what was ignored when it began.
func TestMain(m *testing.M) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}
