package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/snapshot"
	"github.com/lictor/lictor/internal/state"
)

// savedState takes and restores snapshots of a store.
type savedState struct {
	store    *state.Store
	fsm      *fsm.FSM
	restored int
	tail     error // in place of a snapshot's last bytes
}

func (s *savedState) SaveSnapshot(context.Context) (*raft.SnapshotMeta, io.ReadCloser, error) {
	var b bytes.Buffer
	if err := fsm.WriteSnapshot(&b, s.store.Read()); err != nil {
		return nil, nil, err
	}
	meta := &raft.SnapshotMeta{Version: 1, ID: "2-99-1", Index: 99, Term: 2, Size: int64(b.Len())}
	if s.tail != nil {
		return meta, io.NopCloser(io.MultiReader(io.LimitReader(&b, meta.Size/2), failing{s.tail})), nil
	}
	return meta, io.NopCloser(&b), nil
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func (s *savedState) Restore(_ context.Context, _ *raft.SnapshotMeta, content io.Reader) error {
	s.restored++
	return s.fsm.Restore(io.NopCloser(content))
}

func TestClientSnapshot(t *testing.T) {
	w := newWorld(t)
	c := w.client(management)
	_, _, err := c.ACL().PolicyCreate(&api.ACLPolicy{Name: "before"}, nil)
	check(t, err)
	saved, meta, err := c.Snapshot().Save(nil)
	check(t, err)
	archive, err := io.ReadAll(saved)
	check(t, errors.Join(err, saved.Close()))
	if meta.LastIndex != 99 || !meta.KnownLeader {
		t.Errorf("%+v", meta)
	}
	if about, err := snapshot.Read(bytes.NewReader(archive), io.Discard); err != nil || about.Index != 99 {
		t.Errorf("%+v, %v", about, err)
	}
	_, _, err = c.ACL().PolicyCreate(&api.ACLPolicy{Name: "after"}, nil)
	check(t, err)
	check(t, c.Snapshot().Restore(nil, bytes.NewReader(archive)))
	policies, _, err := c.ACL().PolicyList(nil)
	check(t, err)
	for _, p := range policies {
		if p.Name == "after" {
			t.Error("it is as if nothing was restored")
		}
	}
	for i, change := range map[int]byte{10: 0xff, len(archive) / 2: 0xff, len(archive) - 1: 0xff} {
		bad := bytes.Clone(archive)
		bad[i] ^= change
		if err := c.Snapshot().Restore(nil, bytes.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "response code: 400") {
			t.Errorf("byte %d altered: %v", i, err)
		}
	}
	refused(t, c.Snapshot().Restore(nil, bytes.NewReader(archive[:len(archive)/2])), "400 (failed to decompress snapshot: unexpected EOF)")
	refused(t, c.Snapshot().Restore(nil, strings.NewReader("")), "400 (failed to decompress snapshot: unexpected EOF)")
	if w.saved.restored != 1 {
		t.Errorf("restored %d times", w.saved.restored)
	}
}

func TestSnapshotHeaders(t *testing.T) {
	rec := newWorld(t).call("GET", "/v1/snapshot?stale", "", asManagement)
	h := rec.Header()
	if rec.Code != 200 || h.Get("Content-Type") != "application/x-gzip" || h.Get("Content-Encoding") != "" ||
		h.Get("X-Consul-Index") != "99" || h.Get("X-Consul-Knownleader") != "true" || h.Get("X-Consul-Lastcontact") != "0" {
		t.Errorf("%d %v", rec.Code, h)
	}
}

func TestASnapshotThatBreaksOffCannotBeTakenForWhole(t *testing.T) {
	w := newWorld(t)
	w.saved.tail = os.ErrClosed
	srv := httptest.NewServer(w.http)
	req, err := http.NewRequest(http.MethodGet, srv.URL+"/v1/snapshot?token="+management, nil)
	check(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if err == nil {
		t.Error("the client has seen nothing")
	}
	srv.Close()
	if !strings.Contains(w.log.String(), "a snapshot broke off") {
		t.Errorf("logged %s", w.log)
	}
}

func TestARestoreMayTakeLongerThanOtherBodies(t *testing.T) {
	w := newWorld(t, func(a *API) { a.bodyTimeout = time.Nanosecond })
	srv := httptest.NewServer(w.http)
	t.Cleanup(srv.Close)
	archive := w.call("GET", "/v1/snapshot", "", asManagement).Body.Bytes()
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	send := func(path string) (int, string) {
		req, err := http.NewRequest(http.MethodPut, srv.URL+path, bytes.NewReader(archive))
		check(t, err)
		req.Header.Set("Expect", "100-continue") // the body comes when somebody reads it
		req.Header.Set("X-Consul-Token", management)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		return resp.StatusCode, text(resp.Body)
	}
	if code, body := send("/v1/snapshot"); code != 200 || body != "" {
		t.Errorf("restore: %d %s", code, body)
	}
	if code, body := send("/v1/acl/policy"); code != 400 || body != "Failed to read request body" {
		t.Errorf("another body: %d %s", code, body)
	}
}
