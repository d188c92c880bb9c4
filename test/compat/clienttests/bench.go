package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

const clientModule = "github.com/hashicorp/consul/api"

// bench is a directory with our consul and a copy of the client's module. The
// module cache cannot be built in: it is read-only.
type bench struct {
	dir  string
	bins map[string]string // test binary by build tag
}

// names completes the client's tests under their build tag for the enterprise
// edition: the constants are in a file that the module does not ship.
const names = `//go:build consulent

package api

const (
	defaultNamespace = "default"
	defaultPartition = "default"
)
`

func newBench(ctx context.Context) (*bench, error) {
	dir, err := os.MkdirTemp("", "clienttests")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, bins: map[string]string{}}
	if err := b.command(ctx, "", "go", "build", "-o", b.path("bin")+"/", "github.com/lictor/lictor/cmd/consul"); err != nil {
		return nil, err
	}
	if err := b.command(ctx, "", "go", "mod", "download", clientModule); err != nil {
		return nil, err
	}
	src, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", clientModule).Output()
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", clientModule, err)
	}
	if err := os.CopyFS(b.path("api"), os.DirFS(strings.TrimSpace(string(src)))); err != nil {
		return nil, err
	}
	if err := os.WriteFile(b.path("api", "enterprise_names_test.go"), []byte(names), 0o644); err != nil {
		return nil, err
	}
	return b, b.makeCertificates(ctx)
}

// makeCertificates makes, with our command line, the files below ../test that
// the client's tests name and the module does not ship.
func (b *bench) makeCertificates(ctx context.Context) error {
	const made = "made"
	for _, dir := range []string{made, "test/client_certs", "test/hostname", "test/ca_path"} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"ca", "create"}, {"cert", "create", "-server", "-additional-dnsname", "consul.test"}, {"cert", "create", "-client"},
	} {
		if err := b.command(ctx, made, append([]string{b.path("bin", "consul"), "tls"}, args...)...); err != nil {
			return err
		}
	}
	for from, to := range map[string][]string{
		"consul-agent-ca.pem":         {"client_certs/rootca.crt", "hostname/CertAuth.crt", "ca_path/cert1.crt"},
		"dc1-server-consul-0.pem":     {"client_certs/server.crt", "hostname/Alice.crt"},
		"dc1-server-consul-0-key.pem": {"client_certs/server.key", "hostname/Alice.key"},
		"dc1-client-consul-0.pem":     {"client_certs/client.crt"},
		"dc1-client-consul-0-key.pem": {"client_certs/client.key"},
	} {
		content, err := os.ReadFile(b.path(made, from))
		if err != nil {
			return err
		}
		for _, name := range to {
			if err := os.WriteFile(b.path("test", name), content, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

// command runs a command in a directory below b.dir, or here for "".
func (b *bench) command(ctx context.Context, dir string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	if dir != "" {
		cmd.Dir = b.path(dir)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// binary builds the client's tests with a tag, once.
func (b *bench) binary(ctx context.Context, tag string) (string, error) {
	if path := b.bins[tag]; path != "" {
		return path, nil
	}
	path := b.path("bin", "api"+tag+".test")
	if err := b.command(ctx, "api", "go", "test", "-c", "-tags", tag, "-o", path, "."); err != nil {
		return "", err
	}
	b.bins[tag] = path
	return path, nil
}

// outcomes is what became of each test.
type outcomes map[string]string

func (o outcomes) count(outcome string) int {
	n := 0
	for _, got := range o {
		if got == outcome {
			n++
		}
	}
	return n
}

// readOutcomes returns what go test -v says in log about tests that are not inside others.
func readOutcomes(log string) outcomes {
	got := outcomes{}
	for _, m := range verdict.FindAllStringSubmatch(log, -1) {
		got[m[2]] = m[1]
	}
	return got
}

var verdict = regexp.MustCompile(`(?m)^--- (PASS|FAIL|SKIP): (\S+) \(`)

// run runs the tests of a group and keeps what they print in <group>.log.
func (b *bench) run(ctx context.Context, g group) (outcomes, error) {
	binary, err := b.binary(ctx, g.tag)
	if err != nil {
		return nil, err
	}
	var which []string
	for _, t := range g.tests {
		which = append(which, t.name)
	}
	scratch := b.path("tmp")
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binary, "-test.v", "-test.run", "^("+strings.Join(which, "|")+")$", "-test.timeout", "20m")
	cmd.Dir = b.path("api")
	cmd.Env = append(os.Environ(), "PATH="+b.path("bin")+string(os.PathListSeparator)+os.Getenv("PATH"), "TMPDIR="+scratch)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	runErr := cmd.Run()
	if err := os.WriteFile(b.path(g.name+g.tag+".log"), log.Bytes(), 0o644); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	got := readOutcomes(log.String())
	if len(got) == 0 {
		return nil, fmt.Errorf("no test ran: %w\n%s", runErr, log.Bytes())
	}
	return got, nil
}
