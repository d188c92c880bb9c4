// Command standin stands in for programs that tests of tasks need and a machine may not have, as what it is called by:
//
//	envoy --config-path FILE   reads a bootstrap and listens on the public listener's port
//	app ADDR                   listens on ADDR
//	nc -z HOST PORT            exits with 0 if HOST takes a connection
//
// The first two accept connections until SIGTERM, and then exit with 0.
package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	if err := run(filepath.Base(os.Args[0]), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name string, args []string) error {
	switch {
	case name == "envoy" && len(args) == 2 && args[0] == "--config-path":
		text, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		var bootstrap struct{ Node struct{ ID, Cluster string } }
		if err := json.Unmarshal(text, &bootstrap); err != nil {
			return err
		}
		fmt.Printf("envoy of %s for %s\n", bootstrap.Node.ID, bootstrap.Node.Cluster)
		return listen("0.0.0.0:20000")
	case name == "app" && len(args) == 1:
		return listen(args[0])
	case name == "nc" && len(args) == 3 && args[0] == "-z":
		conn, err := net.Dial("tcp", net.JoinHostPort(args[1], args[2]))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return fmt.Errorf("%s: cannot stand in for %q with %q", os.Args[0], name, args)
}

// listen accepts connections, and closes them, until SIGTERM.
func listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	<-term
	return l.Close()
}
