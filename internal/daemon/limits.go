package daemon

import (
	"cmp"
	"context"

	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/httpapi"
	"github.com/lictor/lictor/internal/limit"
)

const defaultBurst = 1000 // spec: agent.md, limits.rpc_max_burst

// rates are how many requests an agent answers and passes on.
func rates(l Limits) httpapi.Rates {
	r := httpapi.Rates{Forwarded: &limit.Rate{PerSecond: l.RPCRate, Burst: cmp.Or(l.RPCMaxBurst, defaultBurst)}}
	if l.RequestMode == "" || l.RequestMode == "disabled" {
		return r
	}
	r.Permissive = l.RequestMode == "permissive"
	r.Read, r.Write = &limit.Rate{PerSecond: l.ReadRate}, &limit.Rate{PerSecond: l.WriteRate}
	r.SourceRead, r.SourceWrite = &limit.Rate{PerSecond: l.SourceReadRate}, &limit.Rate{PerSecond: l.SourceWriteRate}
	return r
}

// admitLogin returns what lets logins of all auth methods in, to be verified in turns.
func (s *server) admitLogin() func(context.Context, string) (func(error), error) {
	l := s.cfg.Limits
	queue := &limit.Queue{What: "logins are being verified", Slots: l.LoginsVerifying, Waiting: l.LoginsWaiting, MaxWait: l.LoginsWait}
	s.metrics.OnRead(func() {
		running, waiting, refused := queue.Stats()
		s.metrics.Gauge("acl.login.verifying", float64(running))
		s.metrics.Gauge("acl.login.waiting", float64(waiting))
		s.metrics.CountTo("acl.login.refused", float64(refused))
	})
	return func(ctx context.Context, identity string) (func(error), error) {
		source := limit.Source(ctx)
		leave, err := queue.Enter(ctx, source, identity)
		if err != nil {
			return nil, err
		}
		return func(err error) {
			if denied := errs.KindOf(err) == errs.Denied; err == nil || denied {
				queue.Note(source, !denied)
			}
			leave()
		}, nil
	}
}

func (s *server) logins(backend *endpoint.Backend, verifiers *endpoint.Verifiers) *endpoint.Logins {
	l := s.cfg.Limits
	return &endpoint.Logins{
		Backend: backend, Verifiers: verifiers, Metrics: s.metrics,
		SourceRate: &limit.Rate{PerSecond: l.LoginSourceRate}, MethodRate: &limit.Rate{PerSecond: l.LoginMethodRate},
	}
}
