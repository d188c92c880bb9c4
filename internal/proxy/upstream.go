package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// maxAttempts is how many instances are tried for one connection.
const maxAttempts = 5

// upstream is a listener for the local service, and what it knows of whom it leads to.
type upstream struct {
	Upstream
	proxy *Proxy
	tls   *tls.Config
	log   *slog.Logger
	turn  atomic.Uint64 // of the instance that is next
	quiet quiet

	instances atomic.Pointer[[]string] // addresses of those that pass; nil before the first answer
	first     chan struct{}            // closed with the first answer
	once      sync.Once
}

func (p *Proxy) listenUpstream(work context.Context, s Upstream) (*listener, error) {
	own := p.identity.leaf.Load().id
	want := ca.ServiceID{TrustDomain: own.TrustDomain, Datacenter: own.Datacenter, Service: s.Service, Scope: s.Scope}
	if s.Datacenter != "" {
		want.Datacenter = s.Datacenter
	}
	u := &upstream{Upstream: s, proxy: p, tls: p.identity.client(want), first: make(chan struct{}), log: p.cfg.Log.With("upstream", s.Name())}
	l, err := p.listen(s.Bind, func(conn net.Conn) { u.serve(work, conn) })
	if err != nil {
		return nil, listenError("upstream "+s.Name(), err)
	}
	following, stop := context.WithCancel(work)
	p.tasks.Go(func() { u.follow(following) })
	p.tasks.Go(func() {
		<-l.ended
		stop()
	})
	p.listening(s.Name(), l)
	return l, nil
}

// follow keeps the list of instances up to date until ctx ends.
func (u *upstream) follow(ctx context.Context) {
	question[[]*api.ServiceEntry]{
		what: "instances of " + u.Service, log: u.log, take: u.set,
		ask: func(o *api.QueryOptions) ([]*api.ServiceEntry, *api.QueryMeta, error) {
			o.Datacenter = u.Datacenter
			o.Namespace, o.Partition = u.sought(u.proxy.cfg.Settings.Scope)
			return u.proxy.cfg.Client.Health().Connect(u.Service, "", true, o)
		},
	}.run(ctx)
}

// sought is the namespace and partition that the agent is asked about by a proxy of own. What is not named is the
// proxy's own; where both are the default, nothing is named.
func (u Upstream) sought(own tenancy.Scope) (namespace, partition string) {
	if own == tenancy.Default && u.Scope == own {
		return "", ""
	}
	return u.Scope.Namespace, u.Scope.Partition
}

func (u *upstream) set(entries []*api.ServiceEntry) {
	addresses := make([]string, 0, len(entries))
	for _, e := range entries {
		host := e.Service.Address
		if host == "" {
			host = e.Node.Address
		}
		addresses = append(addresses, net.JoinHostPort(host, strconv.Itoa(e.Service.Port)))
	}
	u.instances.Store(&addresses)
	u.once.Do(func() { close(u.first) })
}

// serve serves one connection to its end.
func (u *upstream) serve(ctx context.Context, conn net.Conn) {
	local := plain(conn)
	defer u.proxy.connections.add(&connection{cut: local.abort})()
	remote, err := u.connect(ctx)
	if err != nil {
		local.abort()
		if u.quiet.may(u.proxy.cfg.Now()) {
			u.log.Error("no instance can be connected to", logging.Err, err)
		}
		return
	}
	relay(local, remote)
}

var errNoInstance = errors.New("no instance passes its checks")

// connect connects to an instance: the one whose turn it is, and where that fails one after it.
// Nothing of the service's has been sent by then.
func (u *upstream) connect(ctx context.Context) (end, error) {
	if err := u.awaitFirst(ctx); err != nil {
		return end{}, err
	}
	list := *u.instances.Load()
	if len(list) == 0 {
		return end{}, errNoInstance
	}
	start := u.turn.Add(1)
	var failed []error
	for i := range min(len(list), maxAttempts) {
		address := list[(start+uint64(i))%uint64(len(list))]
		remote, err := u.dial(ctx, address)
		if err == nil {
			return remote, nil
		}
		failed = append(failed, fmt.Errorf("%s: %w", address, err))
		if ctx.Err() != nil {
			break
		}
	}
	return end{}, errors.Join(failed...)
}

// awaitFirst waits until it is known which instances there are.
func (u *upstream) awaitFirst(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, u.ConnectTimeout)
	defer cancel()
	select {
	case <-u.first:
		return nil
	case <-ctx.Done():
		return errors.New("it is not known yet which instances there are")
	}
}

// dial connects to one instance, and has it prove that it is one.
func (u *upstream) dial(ctx context.Context, address string) (end, error) {
	ctx, cancel := context.WithTimeout(ctx, u.ConnectTimeout)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return end{}, err
	}
	carrier := &metered{Conn: raw, left: maxHandshake}
	conn := tls.Client(carrier, within(u.tls, u.proxy.identity.bounds.Load().outgoing))
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return end{}, err
	}
	carrier.free()
	return end{conn, carrier}, nil
}
