package forward_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
)

// made returns how many tokens with a description there are.
func (c *cluster) made(description string) (n int) {
	c.t.Helper()
	rec := c.leader().call(management, http.MethodGet, "/v1/acl/tokens", "")
	var tokens []acl.Token
	if err := json.Unmarshal(rec.Body.Bytes(), &tokens); rec.Code != http.StatusOK || err != nil {
		c.t.Fatalf("list tokens: %d %s", rec.Code, rec.Body)
	}
	for _, t := range tokens {
		if t.Description == description {
			n++
		}
	}
	return n
}

// A write that was answered was applied once, however the connection to the
// leader fails; one whose outcome nobody knows is not sent again.
func TestAForwardedWriteIsNeverAppliedTwice(t *testing.T) {
	c := newCluster(t, testHold)
	follower := c.followers(c.leader())[0]
	for _, tc := range []struct {
		name    string
		plan    []stage
		code    int
		text    string // in an error's text
		sent    int
		applied int
	}{
		{"nothing fails", nil, 200, "", 1, 1},
		{"cut before it is sent", []stage{beforeSend}, 200, "", 2, 1},
		{"cut before it is sent, again and again", []stage{beforeSend, beforeSend, beforeSend, beforeSend}, 200, "", 5, 1},
		{"the leader has changed", []stage{notApplied, notApplied}, 200, "", 3, 1},
		{"cut on the way", []stage{onTheWay}, 503, "connection reset", 1, 0},
		{"cut after it was applied", []stage{afterApply}, 503, "connection reset", 1, 1},
		{"cut in the middle of the answer", []stage{inTheAnswer}, 503, "broke off", 1, 1},
		{"cut before it is sent and after it was applied", []stage{beforeSend, afterApply}, 503, "connection reset", 2, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			follower.client.set(tc.plan...)
			rec := follower.call(management, http.MethodPut, "/v1/acl/token", `{"Description": "`+tc.name+`"}`)
			if rec.Code != tc.code || !strings.Contains(rec.Body.String(), tc.text) {
				t.Errorf("answer %d %s", rec.Code, rec.Body)
			}
			if n := follower.client.count(); n != tc.sent {
				t.Errorf("sent %d times, want %d", n, tc.sent)
			}
			if n := c.made(tc.name); n != tc.applied {
				t.Errorf("applied %d times, want %d", n, tc.applied)
			}
		})
	}
}
