package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// ReadIndex asks the server at leader what a read has to have applied: by its
// lease, or with verify by proof. It returns raftnode.ErrNoLeader if that server
// does not lead.
func (f *Forwarder) ReadIndex(ctx context.Context, leader string, verify bool) (raftnode.Commitment, error) {
	u := &url.URL{Path: "/internal/read-index"}
	if verify {
		u.RawQuery = "verify"
	}
	var answer raftnode.Commitment
	if err := f.ask(ctx, leader, u, &answer); err != nil {
		return answer, fmt.Errorf("ask for the read index: %w", err)
	}
	if answer.Index == 0 {
		return answer, errs.New(errs.Unavailable, "ask for the read index: unusable answer")
	}
	return answer, nil
}

// LogStats asks the server at addr how far its log is.
func (f *Forwarder) LogStats(ctx context.Context, addr string) (autopilot.Stats, error) {
	var stats autopilot.Stats
	if err := f.ask(ctx, addr, &url.URL{Path: "/internal/raft-log"}, &stats); err != nil {
		return autopilot.Stats{}, fmt.Errorf("ask for the log: %w", err)
	}
	return stats, nil
}

// ask decodes a server's answer into v. It returns raftnode.ErrNoLeader from one that had to lead.
func (f *Forwarder) ask(ctx context.Context, addr string, u *url.URL, v any) error {
	res, err := f.Client.Do(ctx, addr, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	switch {
	case err != nil:
		return errs.Errorf(errs.Unavailable, "%w", err)
	case res.Header.Get(peer.NotAppliedHeader) != "":
		return raftnode.ErrNoLeader
	case res.StatusCode != http.StatusOK:
		return errs.Errorf(errs.Unavailable, "%s: %s", res.Status, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return errs.Errorf(errs.Unavailable, "unusable answer %q", body)
	}
	return nil
}
