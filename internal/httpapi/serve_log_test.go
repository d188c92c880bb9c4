package httpapi

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// Servers ask each other during every election. That is no error an operator can act on.
func TestElectionsDoNotFillTheLog(t *testing.T) {
	w, raft, port := newPort(t)
	for _, tc := range []struct {
		name string
		err  error
		logs bool
	}{
		{"no leader", raftnode.ErrNoLeader, false},
		{"a fault of this server", errors.New("broken"), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			raft.err = tc.err
			before := len(w.log.String())
			if rec := callPort(port, peer.Agent, http.MethodGet, "/internal/read-index", ""); rec.Code != http.StatusInternalServerError {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
			if logged := w.log.String()[before:]; strings.Contains(logged, "level=ERROR") != tc.logs {
				t.Errorf("logged %q", logged)
			}
		})
	}
}
