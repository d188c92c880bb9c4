package dev

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tools runs the commands a person would type, as processes of their own, from
// a directory of links to this very program.
type tools struct {
	bin string // holds the links consul, consul-ecs and lictor
}

// newTools links the commands to the running program, which behaves as the one it is called by.
func newTools(bin string) (tools, error) {
	self, err := os.Executable()
	if err != nil {
		return tools{}, fmt.Errorf("find this program: %w", err)
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return tools{}, err
	}
	for _, name := range []string{"consul", "consul-ecs", "lictor"} {
		link := filepath.Join(bin, name)
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return tools{}, err
		}
		if err := os.Symlink(self, link); err != nil {
			return tools{}, err
		}
	}
	return tools{bin: bin}, nil
}

// commandError is a command that ended with another exit code than 0.
type commandError struct {
	name   string
	args   []string
	code   int
	stderr string
}

func (e *commandError) Error() string {
	return fmt.Sprintf("%s %s: exit code %d: %s", e.name, strings.Join(e.args, " "), e.code, strings.TrimSpace(e.stderr))
}

// consul runs one command of consul, as run does.
func (t tools) consul(ctx context.Context, env []string, args ...string) (string, error) {
	return t.run(ctx, env, "consul", args...)
}

// run runs one command to its end and returns what it printed. env is added
// to a clean environment. A command that exits with another code than 0 gives a
// *commandError.
func (t tools) run(ctx context.Context, env []string, name string, args ...string) (string, error) {
	out, err := t.said(ctx, env, name, args...)
	return out.String(), err
}

// output is what a command printed, and when it began to.
type output struct {
	text bytes.Buffer
	at   time.Time
}

func (o *output) Write(text []byte) (int, error) {
	if o.at.IsZero() {
		o.at = time.Now()
	}
	return o.text.Write(text)
}

func (o *output) String() string { return o.text.String() }

// said is run with the time of the command's first word.
func (t tools) said(ctx context.Context, env []string, name string, args ...string) (*output, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(t.bin, name), args...)
	cmd.Env = append(cleanEnv(), env...)
	out, complaints := &output{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, complaints
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return out, &commandError{name: name, args: args, code: exit.ExitCode(), stderr: complaints.String()}
	}
	return out, err
}

// cleanEnv is our environment without what would point a command elsewhere.
func cleanEnv() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "AWS_") && !strings.HasPrefix(pair, "CONSUL_") && !strings.HasPrefix(pair, "ECS_") {
			env = append(env, pair)
		}
	}
	return env
}

// agent is a running consul agent.
type agent struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended and its output is read
	err    error         // of the process; read after done
	tail   *tail
	cancel func()
}

// patience is how long an agent may take to do what is waited for.
const patience = 30 * time.Second

// readyLine is what an agent logs once every listener answers.
const readyLine = "Consul agent running!"

// startAgent starts consul agent with args, writes its output to logFile and
// returns once it serves.
func (t tools) startAgent(ctx context.Context, logFile string, env []string, args ...string) (*agent, error) {
	log, err := os.Create(logFile)
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(life, filepath.Join(t.bin, "consul"), append([]string{"agent"}, args...)...)
	cmd.Env = append(cleanEnv(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is ours to pass on
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	a := &agent{cmd: cmd, done: make(chan struct{}), tail: &tail{}, cancel: cancel}
	ready := make(chan struct{})
	go a.follow(pipe, log, ready)
	select {
	case <-ready:
		return a, nil
	case <-a.done:
		return nil, fmt.Errorf("the agent ended: %v\n%s", a.err, a.tail)
	case <-time.After(patience):
		a.kill()
		return nil, fmt.Errorf("the agent is not ready after %v; see %s", patience, logFile)
	case <-ctx.Done():
		a.kill()
		return nil, ctx.Err()
	}
}

// follow copies the agent's output to its log until it ends.
func (a *agent) follow(from io.Reader, log io.WriteCloser, ready chan<- struct{}) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		a.tail.add(lines.Text())
		if ready != nil && strings.Contains(lines.Text(), readyLine) {
			close(ready)
			ready = nil
		}
	}
	_, _ = io.Copy(log, from) // a line too long for the scanner must not block the agent
	a.err = a.cmd.Wait()
	_ = log.Close()
	close(a.done)
}

// stop asks the agent to end and waits for it, at most ten seconds.
func (a *agent) stop() {
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-a.done:
	case <-time.After(10 * time.Second):
	}
	a.kill()
}

func (a *agent) kill() {
	a.cancel()
	<-a.done
}

// tail keeps the last lines of an output.
type tail struct {
	mu    sync.Mutex
	lines []string
}

const tailLines = 40

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines[max(0, len(t.lines)-15):], "\n")
}
