// Package version says which release this is, in the two numbers that matter:
// the Consul release whose API and command line it speaks, and its own.
package version

// The numbers of this build, without a leading v.
const (
	// Consul is the release that clients and scripts may take us for.
	Consul = "1.16.0"
	// Lictor is our own release.
	Lictor = "0.1.0"
)

// The versions of the agents' protocol.
const (
	ProtocolDefault = 2
	ProtocolMin     = 2
	ProtocolMax     = 3
)

// BuildDate is when the release was built, RFC 3339 in UTC. A release build
// sets it with -ldflags -X; otherwise it is a fixed date, so that two builds of the
// same source are the same.
var BuildDate = "1970-01-01T00:00:00Z"
