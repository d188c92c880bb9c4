package proxy

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
)

const (
	heartbeat  = 10 * time.Second
	checkLife  = 3 * heartbeat
	lastOrders = 5 * time.Second // for the deregistration
)

// Registration is a proxy that registers itself with the agent.
type Registration struct {
	Client  *api.Client
	Service string // that it stands in for
	Suffix  string // of its ID; "" for none
	Listen  string // the address of its public listener
	Log     *slog.Logger
}

// ID is that of the registered proxy.
func (r Registration) ID() string {
	id := r.Service + "-proxy"
	if r.Suffix != "" {
		id += "-" + r.Suffix
	}
	return id
}

// Run keeps the proxy registered until ctx ends, and then deregisters it. Its check passes as long as Run says so.
func (r Registration) Run(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for ctx.Err() == nil {
		if err := r.pass(ctx); err != nil && ctx.Err() == nil {
			r.Log.Error("the proxy could not be registered", logging.Err, err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastOrders)
	defer cancel()
	if err := r.Client.Agent().ServiceDeregisterOpts(r.ID(), (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		r.Log.Error("the proxy could not be deregistered", logging.Err, err)
	}
}

// pass says that the proxy works, and registers it if the agent does not know it.
func (r Registration) pass(ctx context.Context) error {
	q := (&api.QueryOptions{}).WithContext(ctx)
	err := r.Client.Agent().UpdateTTLOpts(r.checkID(), "", api.HealthPassing, q)
	var status api.StatusError
	if !errors.As(err, &status) || status.Code != http.StatusNotFound {
		return err
	}
	s, err := r.service()
	if err != nil {
		return err
	}
	return r.Client.Agent().ServiceRegisterOpts(s, api.ServiceRegisterOpts{}.WithContext(ctx))
}

func (r Registration) checkID() string { return r.ID() + "-ttl" }

func (r Registration) service() (*api.AgentServiceRegistration, error) {
	host, port, err := net.SplitHostPort(r.Listen)
	if err != nil {
		return nil, err
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "" // the node's
	}
	return &api.AgentServiceRegistration{
		Kind: api.ServiceKindConnectProxy, ID: r.ID(), Name: r.Service + "-proxy", Address: host, Port: number,
		Proxy: &api.AgentServiceConnectProxyConfig{DestinationServiceName: r.Service},
		Check: &api.AgentServiceCheck{
			CheckID: r.checkID(), Name: "Built-in proxy of " + r.Service,
			TTL: checkLife.String(), Status: api.HealthPassing,
		},
	}, nil
}
