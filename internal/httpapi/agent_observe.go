package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/hostinfo"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/telemetry"
)

// stillAllowedEvery is how often a stream asks whether its token may have it.
const stillAllowedEvery = time.Second

var errNoMetrics = errs.New(errs.Unavailable, "this agent keeps no metrics")

// agentHost handles GET /v1/agent/host.
func (a *API) agentHost(r *request) (any, error) {
	if err := r.caller.Require(r.scope, acl.OperatorRead, ""); err != nil {
		return nil, err
	}
	return hostinfo.Collect(a.Agent.DataDir), nil
}

// agentMetrics handles GET /v1/agent/metrics.
func (a *API) agentMetrics(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentRead); err != nil {
		return nil, err
	}
	if a.Agent.Metrics == nil {
		return nil, errNoMetrics
	}
	if r.query.Get("format") != "prometheus" {
		return a.Agent.Metrics.Summary(), nil
	}
	var text strings.Builder
	if err := a.Agent.Metrics.WritePrometheus(&text); err != nil {
		return nil, err
	}
	return document{telemetry.PrometheusType, text.String()}, nil
}

// agentMetricsStream handles GET /v1/agent/metrics/stream: the metrics now, and
// again after each interval, as JSON values one after the other.
func (a *API) agentMetricsStream(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentRead); err != nil {
		return nil, err
	}
	if a.Agent.Metrics == nil {
		return nil, errNoMetrics
	}
	return stream(func(w http.ResponseWriter) {
		ctx, stop := a.whileAllowed(r, acl.AgentRead)
		defer stop()
		w.Header().Set("Content-Type", "application/json")
		control, out := http.NewResponseController(w), json.NewEncoder(w)
		for {
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it can be set
			if out.Encode(a.Agent.Metrics.Summary()) != nil || control.Flush() != nil || telemetry.NextInterval(ctx) != nil {
				return
			}
		}
	}), nil
}

// agentMonitor handles GET /v1/agent/monitor: the log as it is written, from
// ?loglevel up, with ?logjson as JSON. Who does not read fast enough misses lines.
func (a *API) agentMonitor(r *request) (any, error) {
	if err := a.mayAgent(r, acl.AgentRead); err != nil {
		return nil, err
	}
	level, err := logging.ParseLevel(r.query.Get("loglevel"))
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "Unknown log level: %s", r.query.Get("loglevel"))
	}
	asJSON := r.query.Has("logjson") && r.query.Get("logjson") != "false"
	lines, err := follow(a.Log, level, asJSON)
	if err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter) {
		defer lines.Close()
		ctx, stop := a.whileAllowed(r, acl.AgentRead)
		defer stop()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		control, out := http.NewResponseController(w), &timedWriter{w, http.NewResponseController(w)}
		for control.Flush() == nil { // the first time without a line: the client learns that it is let in
			text, err := lines.Next(ctx)
			if err != nil {
				return
			}
			if _, err := out.Write(text); err != nil {
				return
			}
		}
	}), nil
}

func follow(log *slog.Logger, level slog.Level, asJSON bool) (*logging.Follower, error) {
	lines, err := logging.Follow(log, level, asJSON)
	switch {
	case errors.Is(err, logging.ErrTooManyFollowers):
		return nil, errs.Errorf(errs.Throttled, "monitor: %w", err)
	case err != nil:
		return nil, errs.Errorf(errs.Unavailable, "monitor: %w", err)
	}
	return lines, nil
}

// whileAllowed returns a context that ends with the request, and soon after its
// token has lost p on this agent or is gone. stop ends it and waits for that.
func (a *API) whileAllowed(r *request, p acl.Permission) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer cancel()
		tick := time.NewTicker(stillAllowedEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			caller, err := a.Resolver.Resolve(ctx, r.token)
			if err == nil {
				err = caller.Require(r.scope, p, a.NodeName)
			}
			if kind := errs.KindOf(err); err != nil && (kind == errs.Denied || kind == errs.Unauthorized) {
				return // an outage says nothing about the token
			}
		}
	}()
	return ctx, func() { cancel(); <-done }
}
