package check

import (
	"context"
	"crypto/tls"
	"log/slog"
	"os/exec"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// Limits where neither the definition nor Options say anything.
const (
	DefaultOutputMax   = 4096 // bytes
	DefaultMinInterval = time.Second
	probeTimeout       = 10 * time.Second
	scriptTimeout      = 30 * time.Second
)

// Errors of New that are no fault of the definition itself.
var (
	ErrScripts = errs.New(errs.Invalid, "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true")
	// ErrNotImplemented is of an os_service check where nothing can tell whether
	// a service runs; its text is for the caller.
	ErrNotImplemented = errs.New(errs.Internal, "not implemented")
)

// Status is the result of a check: passing, warning or critical, and why.
// Output is valid UTF-8.
type Status struct{ Status, Output string }

// Notify is told a check's new status when the status or its output is not
// what it was. Calls of one check come one after the other; the first compares
// with the status of the definition and no output. Those of a TTL check come
// from within Set and Restore too, and must not call the check again. A call
// may still be under way when the context of Run ends.
type Notify func(Status)

// AliasCheck is one of the checks that an alias check follows.
type AliasCheck struct{ Name, Status, Output string }

// Aliased returns the checks that an alias check follows and a channel that is
// closed when they may have changed. It may wait for a server; an error makes
// the alias critical until it is asked again.
type Aliased func(ctx context.Context) (checks []AliasCheck, changed <-chan struct{}, err error)

// Options is what a check needs from its agent. Notify and Log have to be set,
// and Alias for an alias check.
type Options struct {
	Notify      Notify
	Log         *slog.Logger
	Alias       Aliased
	TLS         *tls.Config      // base of every connection's; nil trusts the system's roots. It is not changed
	Scripts     bool             // script and docker checks are allowed
	OutputMax   int              // bytes; 0 is DefaultOutputMax
	MinInterval time.Duration    // 0 is DefaultMinInterval
	Now         func() time.Time // nil is time.Now
}

// Runner is a check that can be run, once.
type Runner interface {
	// Run runs the check until ctx ends. That of a TTL check returns at once, and
	// the check goes on until ctx ends.
	Run(ctx context.Context)
}

// New returns the runner of a valid definition; of a TTL check it is a *TTL. It
// fails with ErrScripts, ErrNotImplemented, or errs.Invalid.
func New(d Definition, o Options) (Runner, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	if d.Scripted() && !o.Scripts {
		return nil, ErrScripts
	}
	o.setDefaults(&d)
	r := newReport(&d, &o)
	switch d.Type() {
	case typeTTL:
		return &TTL{report: r, ttl: d.TTL, now: o.Now}, nil
	case typeAlias:
		return newAlias(r, o.Alias)
	}
	p, err := newProbe(&d, &o)
	if err != nil {
		return nil, err
	}
	return newScheduled(&d, &o, r, p), nil
}

func (o *Options) setDefaults(d *Definition) {
	if o.OutputMax <= 0 {
		o.OutputMax = DefaultOutputMax
	}
	if d.OutputMaxSize > 0 {
		o.OutputMax = min(o.OutputMax, d.OutputMaxSize)
	}
	if o.MinInterval <= 0 {
		o.MinInterval = DefaultMinInterval
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// probe asks once how what is checked is. It returns before ctx ends or soon after.
type probe interface {
	probe(ctx context.Context) Status
}

func newProbe(d *Definition, o *Options) (probe, error) {
	switch d.Type() {
	case typeHTTP:
		return newHTTPProbe(d, o)
	case typeTCP:
		return newTCPProbe(d, o), nil
	case typeUDP:
		return &udpProbe{addr: d.UDP}, nil
	case typeGRPC:
		return newGRPCProbe(d, o), nil
	case typeH2Ping:
		return newH2PingProbe(d, o), nil
	case typeDocker:
		return newDockerProbe(d, o)
	case typeOSService:
		if _, err := exec.LookPath(serviceManager); err != nil {
			return nil, ErrNotImplemented
		}
		return &osServiceProbe{name: d.OSService}, nil
	}
	return &scriptProbe{args: d.Args, max: o.OutputMax}, nil
}

// failure is the result of a probe that ended in an error.
func failure(err error) Status { return Status{Critical, err.Error()} }
