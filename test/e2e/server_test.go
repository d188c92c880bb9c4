package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/freeport"
)

// patience is how long a process may take to do what a test waits for.
const patience = 30 * time.Second

// serverFiles is one server's directory: configuration, certificates, data.
type serverFiles struct {
	dir, config, ca string
	http, https     string // host:port
	management      string
}

func newServerFiles(dir string) (*serverFiles, error) {
	f := &serverFiles{
		dir: dir, config: filepath.Join(dir, "base.hcl"), ca: filepath.Join(dir, "ca.pem"),
		management: "5c1f0b4e-9a3d-4c55-8f0e-1d2c3b4a5968",
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	ports, err := freeport.Take(4)
	if err != nil {
		return nil, err
	}
	f.http, f.https = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	now := time.Now()
	authority, err := ca.NewAgentCA(now, time.Hour)
	if err != nil {
		return nil, err
	}
	pair, err := authority.Server(ca.ServerNames{Datacenter: "dc1", Domain: "consul"}, now, time.Hour)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`
server = true
bootstrap = true
node_name = "srv1"
bind_addr = "127.0.0.1"
data_dir = %q
ports {
  http = %d
  https = %d
  server = %d
  serf_lan = %d
  grpc_tls = -1
}
tls {
  defaults {
    ca_file = %q
    cert_file = %q
    key_file = %q
  }
}
acl {
  enabled = true
  default_policy = "deny"
  tokens {
    initial_management = %q
  }
}
`, filepath.Join(dir, "data"), ports[0], ports[1], ports[2], ports[3], f.ca, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), f.management)
	for name, content := range map[string]string{
		"base.hcl": config, "ca.pem": string(authority.Cert), "cert.pem": string(pair.Cert), "key.pem": pair.Key.Reveal(),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// server is a running consul agent and what it has printed.
type server struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended

	mu      sync.Mutex
	printed strings.Builder
	more    chan struct{} // closed and replaced at each line
}

// startServer starts the built consul and returns once it serves.
func startServer(f *serverFiles, env []string, configs ...string) (*server, error) {
	args := []string{"-config-file", f.config}
	for _, config := range configs {
		args = append(args, "-config-file", config)
	}
	return startAgent(f.dir, env, args...)
}

// startAgent runs the built consul agent in dir and returns once it serves.
func startAgent(dir string, env []string, args ...string) (*server, error) {
	s, err := launchAgent(dir, env, args...)
	if err != nil {
		return nil, err
	}
	if err := s.waitFor("Consul agent running!"); err != nil {
		s.kill()
		return nil, err
	}
	return s, nil
}

// launchAgent runs the built consul agent in dir.
func launchAgent(dir string, env []string, args ...string) (*server, error) {
	s := &server{done: make(chan struct{}), more: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(binaries, "consul"), append([]string{"agent"}, args...)...)
	s.cmd.Dir = dir
	s.cmd.Env = append(os.Environ(), env...)
	pipe, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stderr = s.cmd.Stdout
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			s.print(lines.Text())
		}
		_ = s.cmd.Wait()
		close(s.done)
		s.print("")
	}()
	return s, nil
}

func (s *server) print(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.printed.WriteString(line + "\n")
	close(s.more)
	s.more = make(chan struct{})
}

// log returns what the server has printed.
func (s *server) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.printed.String()
}

// waitFor waits until the server has printed a text.
func (s *server) waitFor(text string) error {
	deadline := time.After(patience)
	for {
		s.mu.Lock()
		found, printed, more := strings.Contains(s.printed.String(), text), s.printed.String(), s.more
		s.mu.Unlock()
		if found {
			return nil
		}
		select {
		case <-s.done:
			if printed = s.log(); strings.Contains(printed, text) {
				return nil
			}
			return fmt.Errorf("the server ended and did not print %q:\n%s", text, printed)
		default:
		}
		select {
		case <-more:
		case <-deadline:
			return fmt.Errorf("the server did not print %q:\n%s", text, printed)
		}
	}
}

var signals = map[string]syscall.Signal{
	"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP,
}

// signal sends a signal and, unless it is HUP, waits for the end of the process
// and returns its exit code (-1 if the signal ended it).
func (s *server) signal(name string) (int, error) {
	sig, known := signals[name]
	if !known {
		return 0, fmt.Errorf("unknown signal %q", name)
	}
	if err := s.cmd.Process.Signal(sig); err != nil || name == "HUP" {
		return 0, err
	}
	select {
	case <-s.done:
		return s.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, errors.New("the server does not end")
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}
