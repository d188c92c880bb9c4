package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const management = "5c1f0b4e-9a3d-4c55-8f0e-1d2c3b4a5968"

// process is a server that is measured.
type process struct {
	cmd  *exec.Cmd
	addr string // host:port of HTTP

	profiles string // directory for profiles of the process; empty is none
}

// profile keeps a profile of the process, which has to serve them, in <profiles>/<name>.
func (p *process) profile(name, kind string) error {
	if p.profiles == "" {
		return nil
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+p.addr+"/debug/pprof/"+kind, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Consul-Token", management)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	out, err := os.Create(filepath.Join(p.profiles, name))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, res.Body)
	return errors.Join(err, out.Close())
}

// while profiles the processor time of the process while work runs.
func (p *process) while(name string, work func() error) error {
	if p.profiles == "" {
		return work()
	}
	taken := make(chan error, 1)
	go func() { taken <- p.profile(name, "profile?seconds=5") }()
	time.Sleep(200 * time.Millisecond) // for the profile to begin
	return errors.Join(work(), <-taken)
}

// startServer starts a single server with ACLs in default deny and a data directory.
func startServer(dir, binary string) (*process, error) {
	var ports [3]int
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
	}
	config := filepath.Join(dir, "server.hcl")
	text := fmt.Sprintf(`
server = true
bootstrap = true
node_name = "srv1"
bind_addr = "127.0.0.1"
data_dir = %q
log_level = "error"
limits { http_max_conns_per_client = 8192 }
ports { http = %d server = %d serf_lan = %d serf_wan = -1 dns = -1 grpc = -1 grpc_tls = -1 }
acl {
  enabled = true
  default_policy = "deny"
  tokens { initial_management = %q }
}
`, filepath.Join(dir, "data"), ports[0], ports[1], ports[2], management)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(binary, "agent", "-config-file", config), addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))}
	return p, p.start()
}

// start starts the process and returns once it takes a write.
func (p *process) start() error {
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return err
	}
	return p.awaitWrite()
}

// again stops the process and starts it on what it has left.
func (p *process) again() error {
	p.stop()
	p.cmd = exec.Command(p.cmd.Path, p.cmd.Args[1:]...)
	return p.start()
}

// awaitWrite returns once the server takes a write.
func (p *process) awaitWrite() error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := func() error {
			c, err := dial(p.addr)
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.do("PUT", "/v1/kv/bench/key", "a value of some hundred bytes, as keys often have: "+strings.Repeat("x", 50))
			return err
		}()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// startFloor starts this program as a bare handler.
func startFloor() (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(self, floorArg)}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	p.addr = strings.TrimSpace(line)
	return p, err
}

// cpu is the processor time that the process has taken.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ") // past the name
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat of the process has %d fields", len(fields))
	}
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, see proc(5)
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	const tick = 10 * time.Millisecond
	return time.Duration(ticks) * tick, nil
}

// memory is what the process keeps in memory of its own, without the pages of files, and
// all that is resident, in bytes.
func (p *process) memory() (anonymous, resident int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	field := func(name string) int {
		_, rest, _ := strings.Cut(string(text), "\n"+name+":")
		line, _, _ := strings.Cut(rest, "\n")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(line), " kB"))
		return n << 10
	}
	return field("RssAnon"), field("VmRSS"), nil
}

// machineLoad is what else the machine is doing.
func machineLoad() string {
	text, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(len(fields), 3)], " ")
}
