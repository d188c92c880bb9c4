package grpcapi

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/proxycfg"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/xds"
)

const (
	// recheck is how often what a token may do is looked up without any word of a change.
	recheck = 30 * time.Second
	// firstTime is how long a stream may be open before its first request.
	firstTime = 15 * time.Second
	// maxDetail bounds what is logged of a proxy's complaint, in bytes.
	maxDetail = 1024
)

// stream serves one proxy.
type stream struct {
	*ads
	rpc   discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	token logging.Secret // "" uses the default one
	delta delta

	proxy   proxycfg.Proxy
	version xds.Version
	builds  chan xds.Resources              // capacity 1: the newest
	current atomic.Pointer[catalog.Service] // the registration that is served; nil before
	expires atomic.Pointer[time.Time]       // when the token does; nil is never
	follows chan error                      // receives how following the proxy has ended
}

// serve answers until the proxy or the server ends the stream, or its token may no longer.
func (s *stream) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	requests, failed := make(chan *discovery.DeltaDiscoveryRequest), make(chan error, 1)
	go s.receive(ctx, requests, failed)
	err := s.first(ctx, requests, failed)
	if err == nil {
		s.builds, s.follows = make(chan xds.Resources, 1), make(chan error, 1)
		go s.follow(ctx)
		err = s.loop(ctx, requests, failed)
		cancel()
		<-s.follows // closed when nothing is read any more
	}
	cancel()
	return s.ended(err)
}

// ended says how a stream has ended. One that breaks off while the agent stops is ended by the agent.
func (s *stream) ended(err error) error {
	select {
	case <-s.stopping:
		if errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled {
			return errStopping
		}
	default:
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// receive hands on requests until ctx is done or the stream has ended.
func (s *stream) receive(ctx context.Context, requests chan<- *discovery.DeltaDiscoveryRequest, failed chan<- error) {
	for {
		r, err := s.rpc.Recv()
		if err != nil {
			failed <- err
			return
		}
		select {
		case requests <- r:
		case <-ctx.Done():
			return
		}
	}
}

// first waits for the first request, which says for which proxy the stream is.
func (s *stream) first(ctx context.Context, requests <-chan *discovery.DeltaDiscoveryRequest, failed <-chan error) error {
	limit := time.NewTimer(firstTime)
	defer limit.Stop()
	select {
	case r := <-requests:
		if err := s.identify(ctx, r.Node); err != nil {
			return err
		}
		return s.request(r)
	case err := <-failed:
		return err
	case <-limit.C:
		return errs.New(errs.Invalid, "there was no request in time")
	case <-s.stopping:
		return errStopping
	case <-ctx.Done():
		return ctx.Err()
	}
}

var errStopping = errs.New(errs.Unavailable, "the agent stops")

// identify takes over for whom the stream is. Whether the token may have what it is for is decided once
// the proxy is registered, but it has to be a token.
func (s *stream) identify(ctx context.Context, n *core.Node) error {
	if n.GetId() == "" {
		return errs.New(errs.Invalid, "the first request has to say the ID of the proxy as node.id")
	}
	s.version = xds.VersionOf(n)
	if s.version.Before(xds.Oldest) {
		return errs.Errorf(errs.Invalid, "Envoy %s is too old and is not supported by Consul", s.version)
	}
	fields := n.GetMetadata().GetFields()
	own := orDefault(s.Partition)
	scope, err := tenancy.Parse(orText(fields["partition"].GetStringValue(), own), fields["namespace"].GetStringValue())
	if err != nil {
		return err
	}
	if scope.Partition != own {
		return errs.Errorf(errs.Invalid, "this agent is not in partition %q", scope.Partition)
	}
	s.proxy = proxycfg.Proxy{ID: n.Id, Scope: scope, Token: s.secret()}
	_, err = s.caller(ctx)
	return err
}

func orDefault(name string) string { return orText(name, tenancy.DefaultName) }

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// secret is the token that counts.
func (s *stream) secret() logging.Secret { return s.tokenFor(s.token) }

// caller returns who the stream belongs to, as of now.
func (s *stream) caller(ctx context.Context) (acl.Caller, error) {
	who, err := s.Resolver.Resolve(ctx, s.proxy.Token)
	if err != nil {
		return who, err
	}
	s.expires.Store(nil)
	if who.Token != nil {
		s.expires.Store(who.Token.ExpirationTime)
	}
	return who, nil
}

// allow returns errs.Denied unless the token may act as the service that a proxy stands in for.
func (s *stream) allow(ctx context.Context, p *catalog.Service) error {
	who, err := s.caller(ctx)
	if err != nil {
		return err
	}
	return who.Require(s.proxy.Scope, acl.ServiceWrite, p.Proxy.DestinationServiceName)
}

// follow builds the resources of the proxy at each change, until ctx is done.
func (s *stream) follow(ctx context.Context) {
	defer close(s.follows)
	authorize := func(p catalog.Service) error {
		if err := s.allow(ctx, &p); err != nil {
			return err
		}
		s.current.Store(&p)
		return nil
	}
	told := ""
	err := s.Source.Follow(ctx, s.proxy, authorize, func(snapshot *proxycfg.Snapshot) {
		resources, err := xds.Build(snapshot, s.version)
		if text := textOf(err); text != told {
			told = text
			if err != nil {
				s.Log.Warn("some resources of a proxy cannot be made", "proxy", s.proxy.ID, logging.Err, err)
			}
		}
		select {
		case <-s.builds: // nobody has taken it, and it is no longer the newest
		default:
		}
		s.builds <- resources
	})
	if err != nil {
		s.follows <- err
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// loop answers requests and tells of changes.
func (s *stream) loop(ctx context.Context, requests <-chan *discovery.DeltaDiscoveryRequest, failed <-chan error) error {
	again := time.NewTimer(s.untilRecheck())
	defer again.Stop()
	changed := s.rightsChanged()
	for {
		var err error
		select {
		case r := <-requests:
			if err = s.request(r); err == nil {
				err = s.send()
			}
		case s.delta.resources = <-s.builds:
			err = s.send()
		case <-changed:
			changed = s.rightsChanged()
			err = s.mayGoOn(ctx)
			again.Reset(s.untilRecheck())
		case <-again.C:
			err = s.mayGoOn(ctx)
			again.Reset(s.untilRecheck())
		case err = <-s.follows:
		case err = <-failed:
		case <-s.stopping:
			err = errStopping
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) rightsChanged() <-chan struct{} {
	if s.Changed == nil {
		return nil
	}
	return s.Changed()
}

// untilRecheck is when to look at the token again: at the latest when it expires.
func (s *stream) untilRecheck() time.Duration {
	if at := s.expires.Load(); at != nil {
		return min(recheck, max(0, time.Until(*at))+time.Second)
	}
	return recheck
}

// mayGoOn returns an error if the token is gone or may no longer act for the service. That nobody can be
// asked is no reason to end a stream.
func (s *stream) mayGoOn(ctx context.Context) error {
	if s.token == "" && !s.secret().Equal(s.proxy.Token) {
		return errs.New(errs.Unavailable, "the agent's default token is another one now: connect again")
	}
	var err error
	if p := s.current.Load(); p != nil {
		err = s.allow(ctx, p)
	} else {
		_, err = s.caller(ctx)
	}
	switch errs.KindOf(err) {
	case errs.Denied, errs.Unauthorized:
		return err
	}
	if err != nil {
		s.Log.Debug("a proxy's token could not be verified again", "proxy", s.proxy.ID, logging.Err, err)
	}
	return nil
}

// request takes over one request. Types that are not served get no answer.
func (s *stream) request(r *discovery.DeltaDiscoveryRequest) error {
	t := xds.Type(r.TypeUrl)
	if !slices.Contains(xds.Types(), t) {
		return nil
	}
	if r.ErrorDetail != nil {
		detail := strings.ToValidUTF8(r.ErrorDetail.Message, "\uFFFD")
		s.Log.Warn("a proxy refuses its configuration", "proxy", s.proxy.ID, "type", r.TypeUrl, "nonce", cut(r.ResponseNonce, 16),
			logging.Err, cut(detail, maxDetail))
	}
	return s.delta.request(t, r)
}

func cut(text string, n int) string { return text[:min(len(text), n)] }

// send tells the proxy what it is to know.
func (s *stream) send() error {
	for _, r := range s.delta.responses() {
		if err := s.rpc.Send(r); err != nil {
			return err
		}
	}
	return nil
}
