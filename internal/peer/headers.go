package peer

// Headers of the server port. On any other port they mean nothing.
const (
	// HopsHeader counts the agents that have passed a request on.
	HopsHeader = "X-Lictor-Hops"

	// NotAppliedHeader is on an answer to a request that has changed nothing and
	// may be sent again, to this server or another.
	NotAppliedHeader = "X-Lictor-Not-Applied"

	// RequestIDHeader is the ID under which the agent that a request came to first has
	// recorded it: a UUID.
	RequestIDHeader = "X-Lictor-Request-Id"

	// SourceHeader is what a server counts a request under that it passes on (see limit.SourceOf).
	// Only servers are believed.
	SourceHeader = "X-Lictor-Source"

	// LoginHeader is on the answer to a recorded login: who it has proven to be, as
	// the JSON of audit.Login.
	LoginHeader = "X-Lictor-Login"
)
