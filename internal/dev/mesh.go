package dev

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// What an intention decides counts within soon of the answer to whoever made it. A machine that is too busy
// for that has up to late, and the step says so.
const (
	soon = time.Second
	late = 5 * time.Second
)

// The services as intentions name them, in the demo's partition.
const (
	webName = demoNamespace + "/web"
	apiName = "default/api"
)

// keyBits are those of the roots that the mesh CA changes to. The last is that of the root it began with.
var keyBits = []int{384, 521, 256}

// playMesh has web call api through both tasks' proxies.
func (w *world) playMesh(ctx context.Context, web, called *service) error {
	w.report.section("web calls api through the mesh")
	return w.report.do(ctx,
		step{"both sidecars pass their checks", func(ctx context.Context) (string, error) {
			return "the built-in proxy, with the tasks' service tokens", errors.Join(w.sidecarPasses(ctx, web), w.sidecarPasses(ctx, called))
		}},
		step{"both present leafs of the mesh CA", func(ctx context.Context) (string, error) {
			if err := errors.Join(w.current(ctx, web), w.current(ctx, called)); err != nil {
				return "", err
			}
			return w.identity(ctx, web)
		}},
		step{"without a certificate nobody gets in", func(ctx context.Context) (string, error) { return called.stranger(ctx) }},
		step{"no intention, and default deny: refused", func(ctx context.Context) (string, error) { return w.refusedByDefault(ctx, web, called) }},
		step{"consul intention create web api", func(ctx context.Context) (string, error) { return w.allowed(ctx, web) }},
		step{"consul intention create -replace -deny", func(ctx context.Context) (string, error) { return w.cutOff(ctx, web) }},
		step{"consul intention create -replace -allow", func(ctx context.Context) (string, error) { return w.letIn(ctx, web) }},
		step{fmt.Sprintf("consul connect ca set-config: %d new roots", len(keyBits)), func(ctx context.Context) (string, error) { return w.rotations(ctx, web, called) }},
	)
}

// sidecarPasses waits until all checks of a service's sidecar pass.
func (w *world) sidecarPasses(ctx context.Context, s *service) error {
	return until(ctx, func(ctx context.Context) error {
		e, err := w.instance(ctx, s, s.name+"-sidecar-proxy")
		if err != nil {
			return err
		}
		if e == nil {
			return fmt.Errorf("the sidecar of %s is not in the catalog", s.name)
		}
		for _, c := range e.Checks {
			if c.Status != api.HealthPassing {
				return fmt.Errorf("the sidecar of %s: check %q is %s: %s", s.name, c.Name, c.Status, c.Output)
			}
		}
		return nil
	})
}

// leaf is the certificate that a service's sidecar presents.
func (s *service) leaf(ctx context.Context) (*x509.Certificate, error) {
	conn, err := s.dialSidecar(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// dialSidecar connects to a service's sidecar without a certificate, as nobody in particular.
func (s *service) dialSidecar(ctx context.Context) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}} // what it presents is looked at
	conn, err := d.DialContext(ctx, "tcp", s.sidecar())
	if err != nil {
		return nil, err
	}
	return conn.(*tls.Conn), nil
}

// stranger connects without a certificate, which has to end in a refusal.
func (s *service) stranger(ctx context.Context) (string, error) {
	conn, err := s.dialSidecar(ctx)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(callTime)); err != nil {
		return "", err
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: api\r\n\r\n") // may come after the refusal
	answer := make([]byte, 1)
	n, err := conn.Read(answer)
	var alert *net.OpError
	if n > 0 || !errors.As(err, &alert) || alert.Op != "remote error" {
		return "", fmt.Errorf("it was not refused: %d bytes, %v", n, err)
	}
	return err.Error(), nil
}

// root is the active root of the mesh CA, and the trust domain.
func (w *world) root(ctx context.Context) (*x509.Certificate, string, error) {
	client, err := w.consulAPI()
	if err != nil {
		return nil, "", err
	}
	list, _, err := client.Connect().CARoots(new(api.QueryOptions).WithContext(ctx))
	if err != nil {
		return nil, "", err
	}
	for _, r := range list.Roots {
		if block, _ := pem.Decode([]byte(r.RootCertPEM)); r.Active && block != nil {
			cert, err := x509.ParseCertificate(block.Bytes)
			return cert, list.TrustDomain, err
		}
	}
	return nil, "", errors.New("the mesh CA has no active root")
}

// current waits until a service's sidecar presents a leaf of the root that is active now.
func (w *world) current(ctx context.Context, s *service) error {
	root, _, err := w.root(ctx)
	if err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) error {
		leaf, err := s.leaf(ctx)
		if err == nil {
			err = leaf.CheckSignatureFrom(root)
		}
		return err
	})
}

// identity is the only name in the leaf of a service's sidecar, its SPIFFE ID (mesh.md section 1).
func (w *world) identity(ctx context.Context, s *service) (string, error) {
	_, domain, err := w.root(ctx)
	if err != nil {
		return "", err
	}
	leaf, err := s.leaf(ctx)
	if err != nil {
		return "", err
	}
	want := fmt.Sprintf("spiffe://%s/ap/%s/ns/%s/dc/dc1/svc/%s", domain, demoPartition, s.namespace, s.name)
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != want {
		return "", fmt.Errorf("the leaf is of %v, not of %s", leaf.URIs, want)
	}
	return want, nil
}

// refusedByDefault calls api while no intention speaks. That its sidecar says who was refused proves that the call came there.
func (w *world) refusedByDefault(ctx context.Context, web, called *service) (string, error) {
	_, err := w.tools.consul(ctx, w.operator(), "intention", "check", "-partition", demoPartition, webName, apiName)
	var failed *commandError
	if !errors.As(err, &failed) || failed.code != 1 {
		return "", fmt.Errorf("consul intention check does not say Denied: %w", err)
	}
	source, err := w.identity(ctx, web)
	if err != nil {
		return "", err
	}
	answered := ""
	err = until(ctx, func(ctx context.Context) error {
		answer, err := call(ctx, newCaller(false), "http://"+web.toUpstream())
		if err == nil {
			answered = answer
			return nil
		}
		if log := called.task.Log(sidecarProxy); !strings.Contains(log, "connection refused: source="+source) {
			return fmt.Errorf("web's call has not come to api: %w\n%s", err, called.logOf(sidecarProxy))
		}
		return nil
	})
	if answered != "" {
		return "", fmt.Errorf("api answered: %s", answered)
	}
	return "the intentions' default is that of the ACLs, here deny", err
}

// intend has an intention between web and api, and returns when it was said to be made.
func (w *world) intend(ctx context.Context, flags ...string) (time.Time, error) {
	args := append([]string{"intention", "create", "-partition", demoPartition}, flags...)
	out, err := w.tools.said(ctx, w.operator(), "consul", append(args, webName, apiName)...)
	return out.at, err
}

// allowed has web's application call api.
func (w *world) allowed(ctx context.Context, web *service) (string, error) {
	if _, err := w.intend(ctx); err != nil {
		return "", err
	}
	url := "http://" + web.application() + "/api"
	if _, err := callUntil(ctx, newCaller(false), url, false); err != nil {
		return "", err
	}
	answer, err := call(ctx, newCaller(false), url)
	if err == nil && answer != "api says: Hello from api.\n" {
		err = fmt.Errorf("web's application answers %q", answer)
	}
	return "over mutual TLS, to web: " + strings.TrimSpace(answer), err
}

// cutOff denies what web calls over a connection that is open and over new ones.
func (w *world) cutOff(ctx context.Context, web *service) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	url := "http://" + web.toUpstream()
	held, fresh := newCaller(true), newCaller(false)
	defer held.CloseIdleConnections()
	if _, err := call(ctx, held, url); err != nil {
		return "", err
	}
	type end struct {
		at  time.Time
		err error
	}
	heldEnds, freshEnds := make(chan end, 1), make(chan end, 1)
	go func() {
		at, err := callUntil(ctx, held, url, true)
		heldEnds <- end{at, err}
	}()
	go func() {
		at, err := callUntil(ctx, fresh, url, true)
		freshEnds <- end{at, err}
	}()
	began := time.Now()
	said, err := w.intend(ctx, "-replace", "-deny")
	if err != nil {
		cancel()
	}
	h, f := <-heldEnds, <-freshEnds
	if err = errors.Join(err, h.err, f.err); err != nil {
		return "", err
	}
	if h.at.Before(began) || f.at.Before(began) {
		return "", errors.New("calls failed before they were denied")
	}
	const more = 10
	for range more {
		if answer, err := call(ctx, fresh, url); err == nil {
			return "", fmt.Errorf("api answered after a refusal: %s", answer)
		}
	}
	return within("the open connection ended %s, new ones were refused %s", said, h.at, f.at)
}

// letIn allows what was denied.
func (w *world) letIn(ctx context.Context, web *service) (string, error) {
	said, err := w.intend(ctx, "-replace", "-allow")
	if err != nil {
		return "", err
	}
	at, err := callUntil(ctx, newCaller(false), "http://"+web.toUpstream(), false)
	if err != nil {
		return "", err
	}
	return within("api answered %s", said, at)
}

// within says when things happened after said. It is an error if one came too late.
func within(format string, said time.Time, happened ...time.Time) (string, error) {
	var after []any
	busy := ""
	for _, at := range happened {
		took := at.Sub(said)
		switch {
		case took <= 0:
			after = append(after, "at once")
		default:
			after = append(after, roundly(took)+" later")
		}
		if took > soon {
			busy = fmt.Sprintf("; more than %v: this machine is busy", soon)
		}
		if took > late {
			return "", fmt.Errorf("it took %s, and may take %v", roundly(took), soon)
		}
	}
	return fmt.Sprintf(format, after...) + busy, nil
}

// rotations has the mesh CA make other roots while web calls api all the time.
func (w *world) rotations(ctx context.Context, web, called *service) (string, error) {
	const callers, some = 3, 20
	calls := startTraffic(ctx, "http://"+web.toUpstream(), callers)
	var slowest time.Duration
	var err error
	for _, bits := range keyBits {
		var took time.Duration
		if took, err = w.rotate(ctx, bits, web, called); err != nil {
			break
		}
		slowest = max(slowest, took)
		before := calls.calls.Load()
		err = until(ctx, func(context.Context) error {
			if calls.calls.Load() < before+some {
				return errors.New("the calls have stopped")
			}
			return nil
		})
		if err != nil {
			break
		}
	}
	if err = errors.Join(err, calls.end()); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d calls, 0 failed; both leafs were of a new root in at most %s", calls.calls.Load(), roundly(slowest)), nil
}

// rotate makes a root with a key of so many bits, and returns how long it took both sidecars to present leafs of it.
func (w *world) rotate(ctx context.Context, bits int, both ...*service) (time.Duration, error) {
	before, _, err := w.root(ctx)
	if err != nil {
		return 0, err
	}
	text, err := w.tools.consul(ctx, w.operator(), "connect", "ca", "get-config")
	if err != nil {
		return 0, err
	}
	var config struct {
		Provider string
		Config   map[string]any
	}
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		return 0, err
	}
	config.Config["PrivateKeyType"], config.Config["PrivateKeyBits"] = "ec", bits
	next, err := json.Marshal(config)
	if err != nil {
		return 0, err
	}
	file := w.file("mesh-ca.json")
	if err := os.WriteFile(file, next, 0o600); err != nil {
		return 0, err
	}
	out, err := w.tools.said(ctx, w.operator(), "consul", "connect", "ca", "set-config", "-config-file", file)
	if err != nil {
		return 0, err
	}
	after, _, err := w.root(ctx)
	if err == nil && after.Equal(before) {
		err = errors.New("there is no other root")
	}
	for _, s := range both {
		if err == nil {
			err = w.current(ctx, s)
		}
	}
	return time.Since(out.at), err
}
