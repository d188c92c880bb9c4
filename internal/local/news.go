package local

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/lictor/lictor/internal/logging"
)

// news is what the log says of a write to the catalog, in the words that operators look for (spec:
// agent.md section 7, acl.md section 16).
type news struct {
	done    string // what has happened
	doing   string // what was to happen
	what    slog.Attr
	unnamed bool // done says it all
}

func nodeNews(id string) news {
	return news{done: "Synced node info", doing: "Node info update", what: slog.String(logging.Node, id), unnamed: true}
}

func serviceNews(id string, gone bool) news {
	n := news{done: "Synced service", doing: "Service registration", what: slog.String(logging.Service, id)}
	if gone {
		n.done, n.doing = "Deregistered service", "Service deregistration"
	}
	return n
}

func checkNews(id string, gone bool) news {
	n := news{done: "Synced check", doing: "Check registration", what: slog.String("check", id)}
	if gone {
		n.done, n.doing = "Deregistered check", "Check deregistration"
	}
	return n
}

// said logs what became of a write that was refused with no, or failed with err.
func (s *State) said(n news, no *refusal, err error) {
	switch {
	case err != nil:
	case no == nil && n.unnamed:
		s.cfg.Log.Info(n.done)
	case no == nil:
		s.cfg.Log.Info(n.done, n.what)
	case no.status == http.StatusForbidden:
		s.cfg.Log.Warn(n.doing+" blocked by ACLs", n.what, slog.String("accessorID", no.accessor()), slog.String("reason", no.text))
	default:
		s.cfg.Log.Warn(n.doing+" refused", n.what, slog.String("reason", no.text))
	}
}

// accessor returns whom the server has refused, as far as it says so.
func (r *refusal) accessor() string {
	if strings.Contains(r.text, "anonymous token") {
		return "anonymous token"
	}
	if _, rest, ok := strings.Cut(r.text, "AccessorID '"); ok {
		id, _, _ := strings.Cut(rest, "'")
		return id
	}
	return "unknown"
}
