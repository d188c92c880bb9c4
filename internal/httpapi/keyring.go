package httpapi

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Keyring is the gossip keys of all members. Keys are base64; relay is from 0
// to 5. What a member refuses is a *gossip.KeyError.
type Keyring interface {
	Keys(relay uint8, localOnly bool) (gossip.Keys, error)
	InstallKey(key logging.Secret, relay uint8) error
	UseKey(key logging.Secret, relay uint8) error
	RemoveKey(key logging.Secret, relay uint8) error
}

var keyringRoutes = []route{
	{http.MethodGet, "/v1/operator/keyring", OnServer, "keyring:read", "keyring.list", (*API).keyringList, 0},
	{http.MethodPost, "/v1/operator/keyring", OnServer, "keyring:write", "keyring.install", (*API).keyringInstall, 0},
	{http.MethodPut, "/v1/operator/keyring", OnServer, "keyring:write", "keyring.use", (*API).keyringUse, 0},
	{http.MethodDelete, "/v1/operator/keyring", OnServer, "keyring:write", "keyring.remove", (*API).keyringRemove, 0},
}

// maxRelay is how many other ways an answer may be asked to take.
const maxRelay = 5

// keyringAnswer is the keys of one gossip pool (agent.md section 12).
type keyringAnswer struct {
	WAN         bool
	Datacenter  string
	Segment     string
	Messages    map[string]string `json:",omitempty"`
	Keys        map[string]int
	PrimaryKeys map[string]int
	NumNodes    int
}

// keyringList handles GET /v1/operator/keyring.
func (a *API) keyringList(r *request) (any, error) {
	if err := r.caller.Require(tenancy.Default, acl.KeyringRead, ""); err != nil {
		return nil, err
	}
	relay, err := relayFactor(r)
	if err != nil {
		return nil, err
	}
	local, err := localOnly(r)
	if err != nil {
		return nil, err
	}
	keys, err := a.Gossip.Keys(relay, local)
	if err != nil {
		return nil, a.keyringError(err)
	}
	return []keyringAnswer{{
		Datacenter: a.Datacenter, Messages: keys.Notes, Keys: keys.Count, PrimaryKeys: keys.Primary, NumNodes: keys.Nodes,
	}}, nil
}

// keyringInstall handles POST /v1/operator/keyring.
func (a *API) keyringInstall(r *request) (any, error) { return a.keyringChange(r, a.Gossip.InstallKey) }

// keyringUse handles PUT /v1/operator/keyring.
func (a *API) keyringUse(r *request) (any, error) { return a.keyringChange(r, a.Gossip.UseKey) }

// keyringRemove handles DELETE /v1/operator/keyring.
func (a *API) keyringRemove(r *request) (any, error) { return a.keyringChange(r, a.Gossip.RemoveKey) }

func (a *API) keyringChange(r *request, change func(logging.Secret, uint8) error) (any, error) {
	if err := r.caller.Require(tenancy.Default, acl.KeyringWrite, ""); err != nil {
		return nil, err
	}
	relay, err := relayFactor(r)
	if err != nil {
		return nil, err
	}
	if local, err := localOnly(r); err != nil || local {
		return nil, errs.New(errs.Invalid, "Invalid use of local-only: local-only can only be set for list requests")
	}
	var body struct{ Key logging.Secret }
	if err := r.decode("Request decode failed", &body); err != nil {
		return nil, err
	}
	if err := change(body.Key, relay); err != nil {
		return nil, a.keyringError(err)
	}
	return empty{}, nil
}

// keyringError tells what each member said.
func (a *API) keyringError(err error) error {
	var refused *gossip.KeyError
	if errors.As(err, &refused) {
		return &statusError{http.StatusInternalServerError, gossip.Errors(refused.Lines(a.Datacenter)).Error()}
	}
	return err
}

func relayFactor(r *request) (uint8, error) {
	text := r.query.Get("relay-factor")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errs.Errorf(errs.Invalid, "Error parsing relay factor: %w", err)
	}
	if n < 0 || n > maxRelay {
		return 0, errs.Errorf(errs.Invalid, "Invalid relay-factor: Relay factor must be in range: [0, %d]", maxRelay)
	}
	return uint8(n), nil
}

func localOnly(r *request) (bool, error) {
	text := r.query.Get("local-only")
	if text == "" {
		return false, nil
	}
	local, err := strconv.ParseBool(text)
	if err != nil {
		return false, errs.Errorf(errs.Invalid, "Error parsing local-only: %w", err)
	}
	return local, nil
}
