package daemon

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/version"
)

// openLocal takes up the services and checks of this agent: those that were
// registered before a restart, and those of the configuration.
func (b *base) openLocal() error {
	cfg := b.cfg
	b.own = &inProcess{}
	client, err := local.NewClient(b.own, cfg.Partition)
	if err != nil {
		return err
	}
	token := func(kind string) func() logging.Secret {
		return func() logging.Secret { return b.tokens.Get(kind) }
	}
	b.local, err = local.Open(local.Config{
		NodeName: cfg.NodeName, Datacenter: cfg.Datacenter, Partition: cfg.Partition, Server: cfg.Server, DataDir: cfg.DataDir,
		Node: b.node, Client: client, Members: func() int { return b.gossip.Size() },
		DefaultToken: token(httpapi.TokenDefault), AgentToken: token(httpapi.TokenAgent), FileToken: token(httpapi.TokenRegistration),
		SidecarPorts: cfg.SidecarPorts, ExposePorts: cfg.ExposePorts, CheckUpdates: cfg.CheckUpdates, DiscardOutput: cfg.DiscardCheckOutput,
		RemoteScripts: cfg.EnableScripts, LocalScripts: cfg.EnableLocalScripts,
		Check: check.Options{OutputMax: cfg.CheckOutputMax}, Log: b.log,
	})
	if err != nil {
		return err
	}
	b.tokens.Changed = b.local.Compare
	return b.loadLocal()
}

// loadLocal registers what the configuration defines.
func (b *base) loadLocal() error {
	cfg := b.current.Load()
	err := b.local.Load(cfg.Services, cfg.Checks)
	b.local.Compare()
	return err
}

// node is what this agent says about its node (spec: catalog.md section 2).
func (b *base) node() catalog.Node {
	cfg := b.current.Load()
	lan, wan := "lan_ipv4", "wan_ipv4"
	if ip := net.ParseIP(b.cfg.AdvertiseAddr); ip != nil && ip.To4() == nil {
		lan, wan = "lan_ipv6", "wan_ipv6"
	}
	addr := b.cfg.AdvertiseAddr
	return catalog.Node{
		ID: b.nodeID, Node: b.cfg.NodeName, Address: addr, Datacenter: b.cfg.Datacenter,
		TaggedAddresses: map[string]string{"lan": addr, lan: addr, "wan": addr, wan: addr},
		Meta:            nodeMeta(cfg),
		Scope:           tenancy.Scope{Partition: b.cfg.Partition, Namespace: tenancy.DefaultName},
	}
}

// nodeMeta is the metadata of the node, as configured and as every agent says.
func nodeMeta(cfg *Config) map[string]string {
	meta := map[string]string{"consul-network-segment": "", "consul-version": version.Consul}
	maps.Copy(meta, cfg.NodeMeta)
	return meta
}

// inProcess answers requests with a handler of this process. Set the handler before the first.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (p *inProcess) RoundTrip(req *http.Request) (res *http.Response, err error) {
	w := &answer{header: http.Header{}, code: http.StatusOK}
	defer func() {
		if cause := recover(); cause != nil {
			if aborted, ok := cause.(error); !ok || !errors.Is(aborted, http.ErrAbortHandler) {
				panic(cause)
			}
			res, err = nil, errors.New("the answer broke off")
		}
	}()
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	p.handler.ServeHTTP(w, in)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: strconv.Itoa(w.code) + " " + http.StatusText(w.code), StatusCode: w.code,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: req,
	}, nil
}

// answer is a response as it is written.
type answer struct {
	header http.Header
	code   int
	begun  bool
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *answer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *answer) WriteHeader(code int) {
	if !w.begun {
		w.code, w.begun = code, true
	}
}

// Write implements http.ResponseWriter.
func (w *answer) Write(p []byte) (int, error) {
	w.begun = true
	return w.body.Write(p)
}
