package forward_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/lictor/lictor/internal/forward"
	"github.com/lictor/lictor/internal/peer"
)

// stage is where a request is cut off.
type stage int

const (
	whole       stage = iota // it is not
	beforeSend               // no byte has left
	onTheWay                 // sent, and never received
	afterApply               // received and done, and the answer is lost
	inTheAnswer              // half of the answer arrives
	notApplied               // the server says that it does not lead
)

var errCut = errors.New("connection reset by peer")

// faults is a client that cuts requests off. It counts those that it was given.
type faults struct {
	forward.Client

	mu    sync.Mutex
	plan  []stage // of the next requests below /v1; whole when it is used up
	given int
	asked func() // called after each question for the read index was answered; may be nil
}

// set plans what happens to the next requests.
func (f *faults) set(plan ...stage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.plan, f.given = plan, 0
}

func (f *faults) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.given
}

func (f *faults) next(path string) stage {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !strings.HasPrefix(path, "/v1/") {
		return whole
	}
	f.given++
	if len(f.plan) == 0 {
		return whole
	}
	now := f.plan[0]
	f.plan = f.plan[1:]
	return now
}

func (f *faults) Do(ctx context.Context, addr string, req *http.Request) (*http.Response, error) {
	switch now := f.next(req.URL.Path); now {
	case beforeSend:
		return nil, fmt.Errorf("%w to %s: %w", peer.ErrNotSent, addr, errCut)
	case onTheWay:
		return nil, errCut
	case notApplied:
		return &http.Response{
			StatusCode: http.StatusInternalServerError, Header: http.Header{peer.NotAppliedHeader: {"true"}},
			Body: io.NopCloser(strings.NewReader("No cluster leader")), ContentLength: 17,
		}, nil
	default:
		res, err := f.Client.Do(ctx, addr, req)
		if asked := f.answered(req.URL.Path); asked != nil {
			asked()
		}
		if err != nil || now == whole {
			return res, err
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || now == afterApply {
			return nil, errors.Join(err, errCut)
		}
		res.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken{}))
		return res, nil
	}
}

func (f *faults) answered(path string) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if path != "/internal/read-index" {
		return nil
	}
	return f.asked
}

// broken is the rest of a connection that was cut.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errCut }
