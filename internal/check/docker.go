package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

const (
	dockerSocket    = "unix:///var/run/docker.sock" // where DOCKER_HOST does not say
	dockerMaxAnswer = 64 << 10                      // bytes of JSON
	dockerMaxFrame  = 1 << 20                       // bytes of output in one frame
)

// dockerProbe runs a command in a container through the API of the Docker
// daemon. Its exit code counts as that of a script does. A command that runs
// too long goes on in its container: the daemon cannot stop it.
type dockerProbe struct {
	network, addr string
	container     string
	args          []string
	max           int
}

func newDockerProbe(d *Definition, o *Options) (*dockerProbe, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = dockerSocket
	}
	network, addr, _ := strings.Cut(host, "://")
	if addr == "" || network != "unix" && network != "tcp" {
		return nil, errs.Errorf(errs.Invalid, "Invalid check: DOCKER_HOST %q is neither unix:// nor tcp://", host)
	}
	return &dockerProbe{network: network, addr: addr, container: d.DockerContainerID, args: d.Args, max: o.OutputMax}, nil
}

func (p *dockerProbe) probe(ctx context.Context) Status {
	transport := newTransport(nil)
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, p.network, p.addr)
	}
	code, output, err := p.exec(ctx, transport)
	if err != nil {
		return failure(err)
	}
	return Status{statusOfExit(code), output}
}

func (p *dockerProbe) exec(ctx context.Context, daemon http.RoundTripper) (code int, output string, err error) {
	var created struct{ ID string }
	create := map[string]any{"AttachStdout": true, "AttachStderr": true, "Cmd": p.args}
	if err := callDocker(ctx, daemon, http.MethodPost, "/containers/"+url.PathEscape(p.container)+"/exec", create, decodeTo(&created)); err != nil {
		return 0, "", err
	}
	path := "/exec/" + url.PathEscape(created.ID)
	out := &tail{limit: p.max}
	start := map[string]any{"Detach": false, "Tty": false}
	if err := callDocker(ctx, daemon, http.MethodPost, path+"/start", start, func(r io.Reader) error { return demultiplex(out, r) }); err != nil {
		return 0, "", err
	}
	var ended struct {
		Running  bool
		ExitCode int
	}
	if err := callDocker(ctx, daemon, http.MethodGet, path+"/json", nil, decodeTo(&ended)); err != nil {
		return 0, "", err
	}
	if ended.Running {
		return 0, "", errors.New("the command still runs after its output has ended")
	}
	return ended.ExitCode, out.String(), nil
}

// callDocker sends body, if there is one, and has read read the answer.
func callDocker(ctx context.Context, daemon http.RoundTripper, method, path string, body any, read func(io.Reader) error) error {
	var payload bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&payload).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker"+path, &payload)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := daemon.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		var problem struct{ Message string }
		if err := decodeTo(&problem)(resp.Body); err != nil || problem.Message == "" {
			problem.Message = resp.Status
		}
		return fmt.Errorf("docker: %s", problem.Message)
	}
	if err := read(resp.Body); err != nil {
		return fmt.Errorf("docker: %w", err)
	}
	return nil
}

func decodeTo(v any) func(io.Reader) error {
	return func(r io.Reader) error { return json.NewDecoder(io.LimitReader(r, dockerMaxAnswer)).Decode(v) }
}

// demultiplex copies the output of a command out of its frames: the kind of
// stream in one byte, three bytes of nothing, the length in four, the output.
func demultiplex(to io.Writer, from io.Reader) error {
	for {
		var head [8]byte
		if _, err := io.ReadFull(from, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		size := int64(binary.BigEndian.Uint32(head[4:]))
		if size > dockerMaxFrame {
			return errors.New("a frame of the output is too long")
		}
		if _, err := io.CopyN(to, from, size); err != nil {
			return err
		}
	}
}
