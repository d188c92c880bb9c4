package forward

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/peer"
	"github.com/lictor/lictor/internal/raftnode"
)

// ReadIndex asks the server at leader which index a read has to have applied: by
// its lease, or with verify by proof. It returns raftnode.ErrNoLeader if that server
// does not lead.
func (f *Forwarder) ReadIndex(ctx context.Context, leader string, verify bool) (uint64, error) {
	u := &url.URL{Path: "/internal/read-index"}
	if verify {
		u.RawQuery = "verify"
	}
	res, err := f.Client.Do(ctx, leader, &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}})
	if err != nil {
		return 0, fmt.Errorf("ask for the read index: %w", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	switch {
	case err != nil:
		return 0, errs.Errorf(errs.Unavailable, "ask for the read index: %w", err)
	case res.Header.Get(peer.NotAppliedHeader) != "":
		return 0, raftnode.ErrNoLeader
	case res.StatusCode != http.StatusOK:
		return 0, errs.Errorf(errs.Unavailable, "ask for the read index: %s: %s", res.Status, body)
	}
	var answer struct{ Index uint64 }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Index == 0 {
		return 0, errs.Errorf(errs.Unavailable, "ask for the read index: unusable answer %q", body)
	}
	return answer.Index, nil
}
