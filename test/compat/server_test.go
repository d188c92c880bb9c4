// Package compat drives a server with the published Go client, as tools and
// libraries do: what they write comes back in every form of reading, also after a
// restart, and what they may not do is refused in the words that they know.
package compat

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/awslocal"
	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/freeport"
	"github.com/lictor/lictor/internal/logging"
)

const management = "9b3f6f0e-0a51-4c55-8f0e-1d2c3b4a5968"

// world is one server with ACLs in default deny and a data directory, beside a local AWS.
type world struct {
	t    *testing.T
	aws  *awslocal.Server
	cfg  daemon.Config
	addr string
	stop func()
}

// newWorld starts a server. With an empty secret nobody has a management token yet.
func newWorld(t *testing.T, secret logging.Secret) *world {
	t.Helper()
	aws, err := awslocal.New(awslocal.Demo(), awslocal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := aws.Start(context.Background(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = aws.Close() })
	t.Setenv("AWS_ENDPOINT_URL_STS", aws.URL())
	t.Setenv("AWS_ENDPOINT_URL_IAM", aws.URL())
	ports := daemon.Ports{HTTP: freePort(t), HTTPS: -1, DNS: -1, GRPC: -1, GRPCTLS: -1, Server: freePort(t), SerfLAN: freePort(t), SerfWAN: -1}
	w := &world{t: t, aws: aws, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(ports.HTTP)), cfg: daemon.Config{
		NodeName: "srv1", Datacenter: "dc1", PrimaryDatacenter: "dc1", Domain: "consul",
		DataDir: t.TempDir(), Server: true, Bootstrap: true, Ports: ports,
		BindAddr: "127.0.0.1", AdvertiseAddr: "127.0.0.1", ClientAddrs: []string{"127.0.0.1"},
		ACL: daemon.ACL{
			Enabled: true, DefaultPolicy: "deny", DownPolicy: "extend-cache",
			Tokens: daemon.ACLTokens{InitialManagement: secret},
		},
	}}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func freePort(t *testing.T) int {
	t.Helper()
	ports, err := freeport.Take(1)
	if err != nil {
		t.Fatal(err)
	}
	return ports[0]
}

// start runs the server and returns once it serves.
func (w *world) start() {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- daemon.Run(ctx, w.cfg, daemon.Options{Log: slog.New(slog.DiscardHandler), Ready: func() { close(ready) }})
	}()
	w.stop = func() {
		cancel()
		<-ended
		ended <- nil
	}
	select {
	case <-ready:
	case err := <-ended:
		w.t.Fatalf("the server ended: %v", err)
	case <-time.After(20 * time.Second):
		w.t.Fatal("the server is not ready")
	}
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// client returns a client with a token, in a partition and a namespace; "" is
// none and the default.
func (w *world) client(token, partition, namespace string) *api.Client {
	w.t.Helper()
	c, err := api.NewClient(&api.Config{Address: w.addr, Token: token, Partition: partition, Namespace: namespace})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// must returns the answer of a call whose error ends the test.
func must[T, M any](v T, _ M, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// same wants two values to be equal.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, text(got), text(want))
	}
}

func text(v any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err.Error()
	}
	return string(data)
}

// refused wants the client's error to have a status and to hold a text.
func refused(t *testing.T, err error, code int, text string) {
	t.Helper()
	var status api.StatusError
	if !errors.As(err, &status) || status.Code != code || !strings.Contains(status.Body, text) {
		t.Errorf("got %v, want %d (%s)", err, code, text)
	}
}
