// Package check knows what health checks are and runs them: it calls an
// endpoint at an interval, waits for somebody to report (TTL), or follows
// other checks (alias), and tells when the status or its output changes. It
// knows nothing of the catalog: whoever makes a Runner decides what becomes of
// its results (spec: catalog.md section 4, agent.md section 16.4).
package check

import (
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// The statuses of a check.
const (
	Passing  = "passing"
	Warning  = "warning"
	Critical = "critical"
)

// The types of checks, as Definition.Type returns them.
const (
	typeAlias     = "alias"
	typeDocker    = "docker"
	typeGRPC      = "grpc"
	typeH2Ping    = "h2ping"
	typeHTTP      = "http"
	typeOSService = "os_service"
	typeScript    = "script"
	typeTCP       = "tcp"
	typeTTL       = "ttl"
	typeUDP       = "udp"
)

// Definition is a check as an API body or a configuration file defines it. Its
// type follows from the fields that are set. As JSON its keys are those of the
// published client; see UnmarshalJSON for what else is understood.
type Definition struct {
	Name      string         `json:",omitempty"`
	CheckID   string         `json:",omitempty"` // also spelled ID
	Notes     string         `json:",omitempty"`
	Status    string         `json:",omitempty"` // before the first result; empty is critical
	ServiceID string         `json:",omitempty"`
	Namespace string         `json:",omitempty"`
	Partition string         `json:",omitempty"`
	Token     logging.Secret `json:"-"` // what the check is registered with; read, never written

	Interval               time.Duration `json:"-"`
	Timeout                time.Duration `json:"-"` // of one run; 0 is the type's own
	TTL                    time.Duration `json:"-"`
	SuccessBeforePassing   int           `json:",omitempty"` // results in a row; 0 and 1 mean at once
	FailuresBeforeWarning  int           `json:",omitempty"` // 0 is FailuresBeforeCritical
	FailuresBeforeCritical int           `json:",omitempty"`
	OutputMaxSize          int           `json:",omitempty"` // bytes; 0 is the agent's limit, which also bounds it

	// DeregisterCriticalServiceAfter is how long the check may be critical before
	// its service goes away; 0 is for ever.
	DeregisterCriticalServiceAfter time.Duration `json:"-"`

	Args              []string            `json:"ScriptArgs,omitempty"` // also spelled Args
	DockerContainerID string              `json:",omitempty"`
	Shell             string              `json:",omitempty"` // accepted; Args are run without one
	HTTP              string              `json:",omitempty"` // URL
	Method            string              `json:",omitempty"` // empty is GET
	Header            map[string][]string `json:",omitempty"`
	Body              string              `json:",omitempty"`
	DisableRedirects  bool                `json:",omitempty"`
	TCP               string              `json:",omitempty"` // host:port
	TCPUseTLS         bool                `json:",omitempty"`
	UDP               string              `json:",omitempty"` // host:port
	GRPC              string              `json:",omitempty"` // host:port, with /service for one service of the server
	GRPCUseTLS        bool                `json:",omitempty"`
	H2PING            string              `json:",omitempty"` // host:port
	H2PingUseTLS      bool                `json:"-"`          // true where JSON does not say
	AliasNode         string              `json:",omitempty"`
	AliasService      string              `json:",omitempty"`
	OSService         string              `json:",omitempty"`
	TLSServerName     string              `json:",omitempty"`
	TLSSkipVerify     bool                `json:",omitempty"`
}

// Type returns what kind of check d is: script, docker, http, tcp, udp, ttl,
// grpc, h2ping, alias or os_service. Where several are defined the first of
// them in a fixed order counts.
func (d *Definition) Type() string {
	switch {
	case d.GRPC != "":
		return typeGRPC
	case d.HTTP != "":
		return typeHTTP
	case d.TCP != "":
		return typeTCP
	case d.UDP != "":
		return typeUDP
	case d.H2PING != "":
		return typeH2Ping
	case len(d.Args) > 0 && d.DockerContainerID != "":
		return typeDocker
	case len(d.Args) > 0:
		return typeScript
	case d.OSService != "":
		return typeOSService
	case d.AliasNode != "" || d.AliasService != "":
		return typeAlias
	}
	return typeTTL
}

// Scripted reports whether the check runs a command that its definition names,
// which an agent allows only when it is told to.
func (d *Definition) Scripted() bool {
	t := d.Type()
	return t == typeScript || t == typeDocker
}

// Validate reports what is wrong with the definition, as errs.Invalid with the
// texts that clients know (agent.md section 16.4). Names of embedded checks
// have to be filled in before.
func (d *Definition) Validate() error {
	switch {
	case d.Name == "":
		return errs.New(errs.Invalid, "Missing check name")
	case d.Status != "" && !validStatus(d.Status):
		return errs.New(errs.Invalid, "Bad check status")
	}
	if text := d.wrong(); text != "" {
		return errs.Errorf(errs.Invalid, "Invalid check: %s", text)
	}
	return nil
}

func (d *Definition) wrong() string {
	kind := d.Type()
	switch {
	case d.Interval > 0 && d.TTL > 0:
		return "Interval and TTL cannot both be specified"
	case kind != typeTTL && kind != typeAlias && d.Interval <= 0:
		return "Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"
	case kind == typeTTL && d.TTL <= 0:
		return "TTL must be > 0 for TTL checks"
	case d.OutputMaxSize < 0:
		return "MaxOutputMaxSize must be positive"
	case d.FailuresBeforeWarning > d.FailuresBeforeCritical:
		return "FailuresBeforeWarning can't be higher than FailuresBeforeCritical"
	}
	return ""
}

func validStatus(s string) bool { return s == Passing || s == Warning || s == Critical }
