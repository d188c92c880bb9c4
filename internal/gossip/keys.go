package gossip

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/serf/serf"

	"github.com/lictor/lictor/internal/logging"
)

// Keys is which gossip keys the members have. Keys are base64.
type Keys struct {
	Nodes   int               // members that were asked
	Count   map[string]int    // how many have a key
	Primary map[string]int    // how many encrypt with it
	Notes   map[string]string // by member: that its answer was cut, as many keys do not fit
}

// KeyError is an operation on the keyring that did not succeed everywhere.
type KeyError struct {
	Text  string            // such as "1/3 nodes reported failure"
	Nodes map[string]string // what each member that refused says
}

func (e *KeyError) Error() string { return e.Text }

// Lines returns the error and after it "<member>: <reason>" for each, by name.
func (e *KeyError) Lines(datacenter string) []string {
	lines := []string{datacenter + " (LAN) error: " + e.Text}
	for _, name := range slices.Sorted(maps.Keys(e.Nodes)) {
		lines = append(lines, name+": "+e.Nodes[name])
	}
	return lines
}

// Keys asks every member which keys it has. Each answer is sent by relay other
// ways too (0 to 5), for networks that lose packets. With localOnly only this
// agent answers. Failures are a *KeyError, as those of InstallKey, UseKey and RemoveKey.
func (g *Gossip) Keys(relay uint8, localOnly bool) (Keys, error) {
	if localOnly {
		return g.localKeys()
	}
	resp, err := g.serf.KeyManager().ListKeysWithOptions(&serf.KeyRequestOptions{RelayFactor: relay})
	if err != nil {
		return Keys{}, keyError(resp, err)
	}
	delete(resp.PrimaryKeys, "")
	return Keys{Nodes: resp.NumNodes, Count: resp.Keys, Primary: resp.PrimaryKeys, Notes: resp.Messages}, nil
}

func (g *Gossip) localKeys() (Keys, error) {
	if !g.Encrypted() {
		return Keys{}, &KeyError{
			Text:  "1/1 nodes reported failure",
			Nodes: map[string]string{g.cfg.NodeName: textNoKeyring},
		}
	}
	found := Keys{Nodes: 1, Count: map[string]int{}, Primary: map[string]int{}}
	for i, raw := range g.lan.Keyring.GetKeys() {
		key := base64.StdEncoding.EncodeToString(raw)
		found.Count[key] = 1
		if i == 0 {
			found.Primary[key] = 1
		}
	}
	return found, nil
}

// InstallKey gives every member a key that it will accept from now on.
func (g *Gossip) InstallKey(key logging.Secret, relay uint8) error {
	return keyError(g.serf.KeyManager().InstallKeyWithOptions(key.Reveal(), &serf.KeyRequestOptions{RelayFactor: relay}))
}

// UseKey makes every member encrypt with a key that all of them have.
func (g *Gossip) UseKey(key logging.Secret, relay uint8) error {
	return keyError(g.serf.KeyManager().UseKeyWithOptions(key.Reveal(), &serf.KeyRequestOptions{RelayFactor: relay}))
}

// RemoveKey makes every member forget a key that is not its primary one.
func (g *Gossip) RemoveKey(key logging.Secret, relay uint8) error {
	return keyError(g.serf.KeyManager().RemoveKeyWithOptions(key.Reveal(), &serf.KeyRequestOptions{RelayFactor: relay}))
}

const textNoKeyring = "Keyring is empty (encryption not enabled)"

// nodeTexts are the answers that clients know by other words than the
// library's (agent.md section 12).
var nodeTexts = map[string]string{
	"removing the primary key is not allowed":       "Removing the primary key is not allowed",
	"requested key is not in the keyring":           "Requested key is not in the keyring",
	"No keyring to modify (encryption not enabled)": textNoKeyring,
	"Keyring is empty (encryption not enabled)":     textNoKeyring,
	"key size must be 16, 24 or 32 bytes":           "key size must be 16, 24 or 32 bytes",
}

// keyError returns nil for nil. resp may be nil.
func keyError(resp *serf.KeyResponse, err error) error {
	if err == nil {
		return nil
	}
	e := &KeyError{Text: fmt.Sprint(err), Nodes: map[string]string{}}
	if resp == nil {
		return e
	}
	for name, text := range resp.Messages {
		if known, ok := nodeTexts[text]; ok {
			text = known
		}
		e.Nodes[name] = text
	}
	return e
}
