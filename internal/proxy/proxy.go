// Package proxy is the built-in proxy of the mesh (spec: mesh.md section 8). Its public
// listener takes connections with mutual TLS from those whom the intentions allow and passes them on
// to the local service; its upstream listeners take those of the local service and pass
// them on, with mutual TLS, to instances of other services. It knows what it needs from the agent,
// through the published client, and follows each change. It does not look into what it passes on.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
)

// PublicListener is the name of the listener for those who connect to the service.
const PublicListener = "public listener"

// DefaultDrain is how long connections may go on once the proxy is to end.
const DefaultDrain = 10 * time.Second

// Config says what a Proxy is.
type Config struct {
	Client   *api.Client // of the agent; it works in the service's namespace and partition
	Settings Settings
	// ProxyID is the registration that Settings were loaded from; it is followed. "" leaves
	// Settings as they are.
	ProxyID string
	Drain   time.Duration // 0 is DefaultDrain
	Log     *slog.Logger
	Now     func() time.Time // nil is time.Now
	// Listening, if it is set, is told the address of each listener that starts; what is PublicListener
	// or an upstream's name.
	Listening func(what, address string)
}

// Proxy is one proxy. New makes it, and Run runs it once.
type Proxy struct {
	cfg         Config
	identity    *identity
	authority   *authority
	connections connections
	listeners   map[any]*listener // by Public or Upstream; only Run's goroutine uses it
	tasks       sync.WaitGroup    // all that ends with Run
}

// New returns a proxy that does nothing yet.
func New(cfg Config) *Proxy {
	if cfg.Drain == 0 {
		cfg.Drain = DefaultDrain
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Proxy{cfg: cfg, listeners: map[any]*listener{}}
	p.identity = newIdentity(cfg.Now, cfg.Log)
	p.authority = newAuthority(cfg.Client, cfg.Settings.Service, cfg.Now, cfg.Log)
	return p
}

// Run serves until ctx ends, and then lets the connections there are finish, as long as Config.Drain allows. It
// returns an error if the settings that it begins with cannot be used.
func (p *Proxy) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer p.tasks.Wait()
	defer stop()
	changes := make(chan Settings)
	p.follow(work, changes)
	select {
	case <-p.identity.ready:
	case <-ctx.Done():
		return nil
	}
	p.cfg.Log.Info("Proxy loaded config and ready to serve")
	failed := p.apply(work, p.cfg.Settings)
	for failed == nil && ctx.Err() == nil {
		select {
		case s := <-changes:
			if err := p.apply(work, s); err != nil {
				p.cfg.Log.Error("not all of the proxy's new configuration could be applied", logging.Err, err)
			}
		case <-ctx.Done():
		}
	}
	_ = p.apply(work, Settings{})
	if failed == nil {
		p.drain()
	}
	p.connections.closeAll()
	return failed
}

// follow starts what follows the agent until work ends.
func (p *Proxy) follow(work context.Context, changes chan<- Settings) {
	client, service := p.cfg.Client, p.cfg.Settings.Service
	p.tasks.Go(func() {
		question[*api.CARootList]{what: "the CA's roots", log: p.cfg.Log, take: p.identity.setRoots, ask: client.Agent().ConnectCARoots}.run(work)
	})
	p.tasks.Go(func() {
		question[*api.LeafCert]{what: "the leaf certificate", log: p.cfg.Log, take: p.identity.setLeaf,
			ask: func(o *api.QueryOptions) (*api.LeafCert, *api.QueryMeta, error) {
				return client.Agent().ConnectCALeaf(service, o)
			}}.run(work)
	})
	p.tasks.Go(func() {
		question[[]api.ConfigEntry]{what: "the mesh entry", log: p.cfg.Log, take: p.identity.setBounds, failed: p.identity.noBounds,
			ask: func(o *api.QueryOptions) ([]api.ConfigEntry, *api.QueryMeta, error) {
				return client.ConfigEntries().List(api.MeshConfig, o)
			}}.run(work)
	})
	p.tasks.Go(func() { p.authority.run(work) })
	p.tasks.Go(func() { p.authority.enforce(work, &p.connections) })
	if p.cfg.ProxyID == "" {
		return
	}
	p.tasks.Go(func() {
		question[*api.AgentService]{what: "the proxy's registration", log: p.cfg.Log,
			take: func(s *api.AgentService) { p.registered(work, s, changes) },
			ask: func(o *api.QueryOptions) (*api.AgentService, *api.QueryMeta, error) {
				return client.Agent().Service(p.cfg.ProxyID, o)
			}}.run(work)
	})
}

// registered hands on what the registration says now.
func (p *Proxy) registered(ctx context.Context, s *api.AgentService, changes chan<- Settings) {
	settings, err := FromRegistration(s)
	if err == nil && (settings.Service != p.cfg.Settings.Service || settings.Scope != p.cfg.Settings.Scope) {
		err = errors.New("the service of a proxy that runs cannot be changed")
	}
	if err != nil {
		p.cfg.Log.Error("the proxy's new configuration cannot be used", logging.Err, err)
		return
	}
	select {
	case changes <- settings:
	case <-ctx.Done():
	}
}

// apply makes the listeners those of s. A connection outlives its listener.
func (p *Proxy) apply(work context.Context, s Settings) error {
	wanted := map[any]func() (*listener, error){}
	if s.Public != nil {
		wanted[*s.Public] = func() (*listener, error) { return p.listenPublic(work, *s.Public) }
	}
	for _, u := range s.Upstreams {
		wanted[u] = func() (*listener, error) { return p.listenUpstream(work, u) }
	}
	for key, l := range p.listeners {
		if wanted[key] == nil {
			l.close()
			delete(p.listeners, key)
		}
	}
	var failed []error
	for key, listen := range wanted {
		if p.listeners[key] != nil {
			continue
		}
		l, err := listen()
		if err != nil {
			failed = append(failed, err)
			continue
		}
		p.listeners[key] = l
	}
	return errors.Join(failed...)
}

// drain waits for the connections there are, within the bound.
func (p *Proxy) drain() {
	bound := time.NewTimer(p.cfg.Drain)
	defer bound.Stop()
	select {
	case <-p.connections.gone():
	case <-bound.C:
		p.cfg.Log.Warn("connections are closed that did not finish in time", "connections", p.connections.count())
	}
}

func (p *Proxy) listening(what string, l *listener) {
	p.cfg.Log.Info("Starting listener", "listener", what, "bind_addr", l.Addr())
	if p.cfg.Listening != nil {
		p.cfg.Listening(what, l.Addr().String())
	}
}

func listenError(what string, err error) error {
	return fmt.Errorf("failed to start %s: %w", what, err)
}
