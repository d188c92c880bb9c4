package ecs

import (
	"context"
	"errors"
	"net"
	"time"
)

const dialTimeout = 5 * time.Second

// netDial tells whether an address takes connections: a health check for images without nc.
func netDial(ctx context.Context, _ *Env, args []string) error {
	if len(args) != 1 {
		return errors.New("exactly one argument is required: host:port")
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[0])
	if err != nil {
		return exitCode(2)
	}
	return conn.Close()
}
