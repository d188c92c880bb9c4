package local

import (
	"cmp"
	"net/http"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// noToken stands for the absence of a token: with an empty one the published
// client would use one from the environment of this process.
const noToken = "none"

// NewClient returns a client of the catalog that sends its requests through t,
// as an agent of partition. Nothing of the process's environment changes them.
func NewClient(t http.RoundTripper, partition string) (*api.Client, error) {
	return api.NewClient(&api.Config{
		Address: "agent", Scheme: "http", Token: noToken, Namespace: tenancy.DefaultName, Partition: cmp.Or(partition, tenancy.DefaultName),
		HttpClient: &http.Client{
			Transport:     tokenless{t},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	})
}

// tokenless takes noToken out of requests.
type tokenless struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t tokenless) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("X-Consul-Token") == noToken {
		req = req.Clone(req.Context())
		req.Header.Del("X-Consul-Token")
	}
	return t.RoundTripper.RoundTrip(req)
}

// orNone returns the token for the options of a request.
func orNone(s logging.Secret) string { return cmp.Or(s.Reveal(), noToken) }

// tokensOf returns what an item is synced with, the first one first: its own
// token, or the agent's default one; and should nobody know that any more, what the agent itself uses.
func (s *State) tokensOf(own logging.Secret, from source) []logging.Secret {
	if own == "" && from == fromFile {
		own = secret(s.cfg.FileToken)
	}
	agent := s.agentToken()
	first := cmp.Or(own, secret(s.cfg.DefaultToken), agent)
	if first.Equal(agent) {
		return []logging.Secret{first}
	}
	return []logging.Secret{first, agent}
}

// agentToken is what the agent uses for its own work.
func (s *State) agentToken() logging.Secret {
	return cmp.Or(secret(s.cfg.AgentToken), secret(s.cfg.DefaultToken))
}
