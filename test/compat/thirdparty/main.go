// Command thirdparty lets clients that others have published, unchanged, work with our
// consul: the npm package consul, which it installs into a directory of its own, and
// the python client that Debian packages as python3-consul, where it is installed. Each goes through what
// a program does with it; the scripts beside this file say what.
//
//	go run ./test/compat/thirdparty
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lictor/lictor/internal/freeport"
	"github.com/lictor/lictor/test/cluster"
)

var (
	//go:embed client.cjs
	nodeScript []byte
	//go:embed client.py
	pythonScript []byte
)

// npmClient is the release that is tested.
const npmClient = "consul@2.0.1"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "thirdparty:", err)
		os.Exit(1)
	}
}

// client is somebody else's program that drives a server.
type client struct {
	name   string
	needs  []string   // commands
	probe  []string   // a command that fails where the client is not there; nil is none
	setUp  [][]string // commands in the client's directory
	script string     // file for content
	text   []byte
	run    []string
	policy string // default_policy of its server
}

var clients = []client{
	{
		name: "npm " + npmClient, needs: []string{"node", "npm"},
		setUp:  [][]string{{"npm", "install", "--silent", "--no-audit", "--no-fund", npmClient}},
		script: "client.cjs", text: nodeScript, run: []string{"node", "client.cjs"}, policy: "deny",
	},
	{
		name: "Debian's python3-consul", needs: []string{"/usr/bin/python3"}, probe: []string{"/usr/bin/python3", "-c", "import consul"},
		script: "client.py", text: pythonScript, run: []string{"/usr/bin/python3", "client.py"},
		policy: "allow", // it sends no token with requests to the agent
	},
}

func run(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "lictor-thirdparty-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "bin", "consul")
	if err := cluster.Build(binary, "-s -w"); err != nil {
		return err
	}
	var failed error
	for i, c := range clients {
		if missing := c.missing(ctx); missing != "" {
			fmt.Printf("%-28s left out: there is no %s\n", c.name, missing)
			continue
		}
		out, err := c.drive(ctx, binary, filepath.Join(dir, fmt.Sprint(i)))
		fmt.Printf("%-28s %d steps", c.name, strings.Count(out, "ok "))
		if err != nil {
			fmt.Printf(", failed\n%s", out)
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
			continue
		}
		fmt.Println()
	}
	return failed
}

// missing returns what the client needs and this machine does not have, "" if it has all.
func (c *client) missing(ctx context.Context) string {
	for _, name := range c.needs {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	if c.probe != nil && exec.CommandContext(ctx, c.probe[0], c.probe[1:]...).Run() != nil {
		return c.name
	}
	return ""
}

// drive runs the client against a server of its own and returns what it has printed.
func (c *client) drive(ctx context.Context, binary, dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, command := range c.setUp {
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return string(out), fmt.Errorf("%s: %w", strings.Join(command, " "), err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, c.script), c.text, 0o644); err != nil {
		return "", err
	}
	s, err := startServer(ctx, binary, dir, c.policy)
	if err != nil {
		return "", err
	}
	defer s.stop()
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(limited, c.run[0], c.run[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PORT="+s.port)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// server is a consul with ACLs that nobody has a token of yet.
type server struct {
	cmd  *exec.Cmd
	port string
}

func startServer(ctx context.Context, binary, dir, policy string) (*server, error) {
	ports, err := freeport.Take(3)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`
server = true
bootstrap = true
node_name = "srv1"
bind_addr = "127.0.0.1"
data_dir = %q
ports { http = %d server = %d serf_lan = %d serf_wan = -1 dns = -1 grpc = -1 grpc_tls = -1 }
acl { enabled = true default_policy = %q }
`, filepath.Join(dir, "data"), ports[0], ports[1], ports[2], policy)
	path := filepath.Join(dir, "server.hcl")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	var log bytes.Buffer
	s := &server{cmd: exec.CommandContext(ctx, binary, "agent", "-config-file", path), port: strconv.Itoa(ports[0])}
	s.cmd.Stdout, s.cmd.Stderr = &log, &log
	return s, s.cmd.Start()
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}
