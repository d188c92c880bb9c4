package agent

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// doers answers requests to each address in a way of its own.
type doers map[string]func(ctx context.Context) (*http.Response, error)

func (d doers) Do(ctx context.Context, addr string, _ *http.Request) (*http.Response, error) {
	return d[addr](ctx)
}

func hangs(ctx context.Context) (*http.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func fails(context.Context) (*http.Response, error) { return nil, errRefused }

func answers(context.Context) (*http.Response, error) { return respondJSON("yes"), nil }

func refuses(context.Context) (*http.Response, error) {
	return respond(http.StatusForbidden, "ACL not found"), nil
}

func TestServersAreAskedBesideOneThatIsSlow(t *testing.T) {
	for _, c := range []struct {
		name   string
		behave []func(context.Context) (*http.Response, error)
		kind   errs.Kind
		status int // of a refusal; 0 is none
	}{
		{name: "the first answers", behave: []func(context.Context) (*http.Response, error){answers, hangs}},
		{name: "the first hangs", behave: []func(context.Context) (*http.Response, error){hangs, answers}},
		{name: "all but the last hang or fail", behave: []func(context.Context) (*http.Response, error){hangs, fails, hangs, answers}},
		{name: "the first hangs and the next refuses", behave: []func(context.Context) (*http.Response, error){hangs, refuses}, status: http.StatusForbidden},
		{name: "all fail", behave: []func(context.Context) (*http.Response, error){fails, fails}, kind: errs.Unavailable},
		{name: "there is none", kind: errs.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := doers{}
				var addrs []string
				for i, f := range c.behave {
					addr := string(rune('a' + i))
					addrs, client[addr] = append(addrs, addr), f
				}
				ctx, cancel := context.WithTimeout(context.Background(), askTime)
				defer cancel()
				began := time.Now()
				var out string
				err := Servers{Client: client, Addrs: func() []string { return addrs }}.ask(ctx, http.MethodPost, "/", nil, &out)
				var no *refusal
				switch {
				case c.status != 0 && (!errors.As(err, &no) || no.status != c.status):
					t.Fatalf("got %v, want status %d", err, c.status)
				case c.status == 0 && c.kind == 0 && (err != nil || out != "yes"):
					t.Fatalf("got %q, %v", out, err)
				case c.kind != 0 && errs.KindOf(err) != c.kind:
					t.Fatalf("got %v, want kind %v", err, c.kind)
				}
				if took := time.Since(began); took >= askTime {
					t.Errorf("took %v: somebody waited for a server that hangs", took)
				}
			})
		})
	}
}
