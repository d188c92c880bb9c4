package ecs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

const (
	lookAgain  = time.Minute // at a token that never ends, or could not be read
	renewEarly = 3           // a token is renewed once a third of its life is over
)

// renewal keeps the task's tokens alive, as long as they end at all. A token is renewed in
// place; where that is not possible, because its lifetime is over or the servers do not know how, the
// task logs in again while the old token still works.
type renewal struct {
	inTask

	mu      sync.Mutex        // guards methods
	methods map[string]string // of the logins that the tokens are from, by file, once they were read

	// use is called after a login, with the file that has the new token and its secret.
	use func(ctx context.Context, file string, token logging.Secret) error
}

func (s *syncer) renewal() *renewal {
	return &renewal{inTask: s.inTask, methods: map[string]string{}, use: s.useToken}
}

// useToken makes a new token the one that is used: the service token here, the client token in
// the agent.
func (s *syncer) useToken(ctx context.Context, file string, token logging.Secret) error {
	if file == serviceTokenFile {
		return s.connect()
	}
	agent, err := agentClient(token)
	if err != nil {
		return err
	}
	_, err = agent.Agent().UpdateAgentACLToken(token.Reveal(), (&api.WriteOptions{}).WithContext(ctx))
	return err
}

// run renews until ctx is done.
func (r *renewal) run(ctx context.Context) {
	var both sync.WaitGroup
	for _, file := range []string{serviceTokenFile, clientTokenFile} {
		both.Go(func() { r.keep(ctx, file) })
	}
	both.Wait()
}

// keep keeps the token in a file alive.
func (r *renewal) keep(ctx context.Context, file string) {
	for n := 0; ; {
		wait, err := r.look(ctx, file)
		if err != nil && ctx.Err() == nil {
			wait = backoffs[throttled].wait(n)
			n++
			r.log.Warn("the token could not be renewed", "file", file, logging.Err, err, "retry_in", wait.Round(time.Millisecond))
		} else {
			n = 0
		}
		if !sleep.For(ctx, wait) {
			return
		}
	}
}

// look renews the token in a file if it is time to, and returns when to look again.
func (r *renewal) look(ctx context.Context, file string) (time.Duration, error) {
	secret, err := readToken(r.config.BootstrapDir, file)
	if errors.Is(err, os.ErrNotExist) {
		return lookAgain, nil // a task without an agent of its own
	}
	if err != nil {
		return 0, err
	}
	servers, err := serverClient(r.config, secret)
	if err != nil {
		return 0, err
	}
	token, _, err := servers.ACL().TokenReadSelf((&api.QueryOptions{}).WithContext(ctx))
	if isGone(err) {
		return 0, r.loginAgain(ctx, servers, file)
	}
	if err != nil {
		return 0, err
	}
	r.mu.Lock()
	r.methods[file] = token.AuthMethod
	r.mu.Unlock()
	if token.ExpirationTime == nil {
		return lookAgain, nil
	}
	life := token.ExpirationTime.Sub(token.CreateTime)
	if token.ExpirationTTL > 0 {
		life = token.ExpirationTTL
	}
	if left := time.Until(*token.ExpirationTime); left > life-life/renewEarly {
		return left - (life - life/renewEarly) + rand.N(life/10+1), nil
	}
	renewed, err := renew(ctx, servers)
	if errors.Is(err, errNotRenewable) {
		return 0, r.loginAgain(ctx, servers, file)
	}
	if err != nil {
		return 0, err
	}
	left := time.Until(*renewed.ExpirationTime)
	r.log.Info("token renewed", "file", file, "expires_in", left.Round(time.Second))
	return max(left/renewEarly, time.Second), nil
}

// errNotRenewable says that only another login helps.
var errNotRenewable = errors.New("the token cannot be renewed")

// renew renews the client's own token.
func renew(ctx context.Context, servers *api.Client) (*api.ACLToken, error) {
	var token api.ACLToken
	_, err := servers.Raw().Write("/v1/acl/token/renew", nil, &token, (&api.WriteOptions{}).WithContext(ctx))
	var status api.StatusError
	if errors.As(err, &status) {
		switch status.Code {
		case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
			return nil, fmt.Errorf("%w: %w", errNotRenewable, err)
		}
	}
	if err == nil && token.ExpirationTime == nil {
		return nil, errNotRenewable
	}
	return &token, err
}

// loginAgain replaces the token in a file by that of another login. The old one works until it ends.
func (r *renewal) loginAgain(ctx context.Context, servers *api.Client, file string) error {
	request, err := r.request(file)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if method := r.methods[file]; method != "" {
		request.method = method
	}
	r.mu.Unlock()
	token, err := request.login(ctx, servers)
	if err != nil {
		return fmt.Errorf("login: %w", err)
	}
	r.log.Info("logged in again", "file", file)
	return r.use(ctx, file, secretOf(token))
}
