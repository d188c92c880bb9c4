package catalog

import (
	"time"

	"github.com/lictor/lictor/internal/tenancy"
)

// SerfHealth is the check of every node that gossip sees; the leader writes it.
const SerfHealth = "serfHealth"

// Statuses of a check, and Any for queries.
const (
	Passing     = "passing"
	Warning     = "warning"
	Critical    = "critical"
	Maintenance = "maintenance" // of an aggregate: the health of an instance as a whole
	Any         = "any"
)

// Check is the health of a node, or of a service on it where ServiceID is set. Its
// CheckID is unique on its node within its namespace; a check of the node itself lives in the
// partition's default namespace.
type Check struct {
	Node        string
	CheckID     string
	Name        string
	Status      string
	Notes       string
	Output      string
	ServiceID   string
	ServiceName string
	ServiceTags []string
	Type        string
	Interval    string
	Timeout     string
	ExposedPort int
	Definition  CheckDefinition
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// CheckDefinition is how somebody other than an agent is to check, as it was
// registered in the catalog.
type CheckDefinition struct {
	HTTP                           string              `json:",omitempty"`
	TLSServerName                  string              `json:",omitempty"`
	TLSSkipVerify                  bool                `json:",omitempty"`
	Header                         map[string][]string `json:",omitempty"`
	Method                         string              `json:",omitempty"`
	Body                           string              `json:",omitempty"`
	DisableRedirects               bool                `json:",omitempty"`
	TCP                            string              `json:",omitempty"`
	TCPUseTLS                      bool                `json:",omitempty"`
	UDP                            string              `json:",omitempty"`
	H2PING                         string              `json:",omitempty"`
	H2PingUseTLS                   bool                `json:",omitempty"`
	GRPC                           string              `json:",omitempty"`
	GRPCUseTLS                     bool                `json:",omitempty"`
	OSService                      string              `json:",omitempty"`
	Interval                       time.Duration       `json:",omitempty"`
	Timeout                        time.Duration       `json:",omitempty"`
	DeregisterCriticalServiceAfter time.Duration       `json:",omitempty"`
}

// Type returns the word for what d checks, "" if it says nothing about that.
func (d *CheckDefinition) Type() string {
	switch {
	case d.HTTP != "":
		return "http"
	case d.TCP != "":
		return "tcp"
	case d.UDP != "":
		return "udp"
	case d.GRPC != "":
		return "grpc"
	case d.H2PING != "":
		return "h2ping"
	case d.OSService != "":
		return "os_service"
	}
	return ""
}
