package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// patience is how long a process may take to do what a test waits for.
const patience = 40 * time.Second

// Agent is a server or a client agent of a Cluster. It may be started again
// after its end.
type Agent struct {
	Name   string
	Dir    string // its configuration, certificates and data
	HTTP   string // host:port
	GRPC   string // of a client agent, host:port
	Server bool

	bind, advertise string
	binary          atomic.Pointer[string] // what the next start runs

	news *news // of what agents print

	mu    sync.Mutex // guards what follows
	run   *process
	lines []string // printed by all runs
	began int      // how many were before this run
}

// process is one run of an agent.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// news wakes everybody who waits for something to change.
type news struct {
	mu   sync.Mutex
	next chan struct{} // closed and replaced at each change
}

func (n *news) tell() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.next)
	n.next = make(chan struct{})
}

// await returns once ok says so, asking again after each change, or that it
// took too long.
func (n *news) await(what string, ok func() (bool, error)) error {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		n.mu.Lock()
		next := n.next
		n.mu.Unlock()
		if done, err := ok(); done || err != nil {
			return err
		}
		select {
		case <-next:
		case <-deadline.C:
			return fmt.Errorf("waited %v for %s", patience, what)
		}
	}
}

// Use makes the next start run another binary.
func (a *Agent) Use(binary string) { a.binary.Store(&binary) }

// Advertised returns the address of the server port that others know.
func (a *Agent) Advertised() string { return net.JoinHostPort(a.advertise, fmt.Sprint(serverPort)) }

// Launch starts the agent and returns at once.
func (a *Agent) Launch() error {
	p := &process{done: make(chan struct{})}
	p.cmd = exec.Command(*a.binary.Load(), "agent", "-config-file", filepath.Join(a.Dir, "agent.hcl"))
	p.cmd.Dir = a.Dir
	p.cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR=", "CONSUL_HTTP_TOKEN=")
	pipe, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.cmd.Stderr = p.cmd.Stdout
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := p.cmd.Start(); err != nil {
		return err
	}
	a.run, a.began = p, len(a.lines)
	go a.follow(p, pipe)
	return nil
}

// follow notes what a run prints, and its end.
func (a *Agent) follow(p *process, output io.Reader) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		a.mu.Lock()
		a.lines = append(a.lines, lines.Text())
		a.mu.Unlock()
		a.news.tell()
	}
	_ = p.cmd.Wait()
	close(p.done)
	a.news.tell()
}

// Start starts the agent and returns once it says that it serves.
func (a *Agent) Start() error {
	if err := a.Launch(); err != nil {
		return err
	}
	return a.Await("Consul agent running!", 1)
}

// Log returns what the agent has printed, in all its runs.
func (a *Agent) Log() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.lines, "\n")
}

func (a *Agent) process() *process {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.run
}

// pid returns the process that runs, 0 if none does.
func (a *Agent) pid() int {
	if p := a.process(); p != nil && !p.over() {
		return p.cmd.Process.Pid
	}
	return 0
}

// Await returns once this run has printed a text a number of times.
func (a *Agent) Await(text string, times int) error {
	p := a.process()
	return a.news.await(fmt.Sprintf("%s to print %q", a.Name, text), func() (bool, error) {
		over := p.over() // before the look at what was printed
		if a.count(text, false) >= times {
			return true, nil
		}
		if over {
			return false, fmt.Errorf("%s ended before it printed %q", a.Name, text)
		}
		return false, nil
	})
}

// count returns how many lines have a text in them: of this run, or of all runs.
func (a *Agent) count(text string, all bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	lines := a.lines[a.began:]
	if all {
		lines = a.lines
	}
	n := 0
	for _, line := range lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the agent with SIGKILL. One that does not run is no error.
func (a *Agent) Kill() {
	p := a.process()
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop ends the agent with SIGTERM and waits for its end.
func (a *Agent) Stop() error {
	if err := a.signal(syscall.SIGTERM); err != nil {
		return err
	}
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	select {
	case <-a.process().done:
		return nil
	case <-deadline.C:
		return errors.New(a.Name + " does not end")
	}
}

// Pause stops the process where it is, until Resume.
func (a *Agent) Pause() error { return a.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (a *Agent) Resume() error { return a.signal(syscall.SIGCONT) }

// Reload makes the agent read its files again with SIGHUP and returns once it has.
func (a *Agent) Reload() error {
	const done = "configuration reloaded"
	before := a.count(done, false)
	if err := a.signal(syscall.SIGHUP); err != nil {
		return err
	}
	return a.Await(done, before+1)
}

func (a *Agent) signal(s syscall.Signal) error { return a.process().cmd.Process.Signal(s) }
