package gossip

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// patient keeps a member that a busy machine gives no time from being taken for failed: tests that say that none is have
// other ways to find out whether members hear each other.
func patient(c *Config) { c.Pace.SuspicionMult = 100 } // 10 s

// three starts a cluster of three servers with the given changes.
func three(t *testing.T, change ...func(*Config)) []*node {
	t.Helper()
	var nodes []*node
	for _, name := range []string{"n1", "n2", "n3"} {
		nodes = append(nodes, start(t, name, append([]func(*Config){asServer, patient, in(t.TempDir())}, change...)...))
	}
	nodes[1].join(nodes[0])
	nodes[2].join(nodes[0])
	for _, n := range nodes {
		for _, other := range nodes {
			n.expect(0, Join, other.cfg.NodeName)
		}
	}
	return nodes
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	old, next := newKey(), newKey()
	nodes := three(t, withKey(old))
	count := func(want string) {
		t.Helper()
		all(t, func() error {
			keys, err := nodes[0].Keys(0, false)
			got := fmt.Sprint(keys.Nodes, keys.Count[old.Reveal()], keys.Primary[old.Reveal()], keys.Count[next.Reveal()], keys.Primary[next.Reveal()])
			if err == nil && (got != want || len(keys.Primary) != 1) {
				t.Fatalf("nodes, old, old primary, new, new primary: %s, want %s", got, want)
			}
			return err
		})
	}
	steps := []struct {
		do   func(logging.Secret, uint8) error
		key  logging.Secret
		want string
	}{
		{nodes[0].InstallKey, old, "3 3 3 0 0"}, // again, which changes nothing
		{nodes[1].InstallKey, next, "3 3 3 3 0"},
		{nodes[2].UseKey, next, "3 3 0 3 3"},
		{nodes[0].RemoveKey, old, "3 0 0 3 3"},
	}
	for _, s := range steps {
		all(t, func() error { return s.do(s.key, 2) })
		count(s.want)
	}
	for _, n := range nodes {
		if got := kept(t, n.cfg.DataDir); !slices.Equal(got, []string{next.Reveal()}) {
			t.Errorf("%s keeps %d keys", n.cfg.NodeName, len(got))
		}
		local, err := n.Keys(0, true)
		if err != nil || local.Nodes != 1 || local.Primary[next.Reveal()] != 1 {
			t.Errorf("%s alone: %d keys, %v", n.cfg.NodeName, len(local.Count), err)
		}
	}
	again := nodes[2].restart(withKey(old)) // the file wins
	again.join(nodes[0])
	noneFailed(t, nodes...)
}

// all asks all members until each has answered in time, as an operator does who is told that some did not.
func all(t *testing.T, ask func() error) {
	t.Helper()
	var err error
	eventually(t, "all members answer", func() bool {
		err = ask()
		var missing *KeyError
		if err != nil && (!errors.As(err, &missing) || len(missing.Nodes) > 0) {
			t.Fatalf("%v %v", err, missing)
		}
		return err == nil
	})
}

// hearEachOther sends a message from every member to every other.
func hearEachOther(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, from := range nodes {
		text := from.cfg.NodeName + string(newKey())
		var told time.Time
		eventually(t, "all hear "+from.cfg.NodeName, func() bool {
			if time.Since(told) > time.Second { // a packet may be lost
				told = time.Now()
				if err := from.Tell([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			return !slices.ContainsFunc(nodes, func(n *node) bool {
				n.mu.Lock()
				defer n.mu.Unlock()
				return !n.told[text]
			})
		})
	}
}

func noneFailed(t *testing.T, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		for _, e := range n.all() {
			if e.Type == Fail {
				t.Errorf("%s took %s for failed\n%s", n.cfg.NodeName, e.Member.Name, n.log)
			}
		}
	}
}

func TestKeysThatMembersRefuse(t *testing.T) {
	t.Parallel()
	key := newKey()
	locked, open := start(t, "srv1", withKey(key)), start(t, "srv2")
	tests := []struct {
		name string
		do   func() error
		want []string
	}{
		{"to remove the primary key", func() error { return locked.RemoveKey(key, 0) },
			[]string{"dc1 (LAN) error: 1/1 nodes reported failure", "srv1: Removing the primary key is not allowed"}},
		{"to use a key that is not there", func() error { return locked.UseKey(newKey(), 0) },
			[]string{"dc1 (LAN) error: 1/1 nodes reported failure", "srv1: Requested key is not in the keyring"}},
		{"a key of another length", func() error { return locked.InstallKey("AAAA", 0) },
			[]string{"dc1 (LAN) error: 1/1 nodes reported failure", "srv1: key size must be 16, 24 or 32 bytes"}},
		{"a key that is no base64", func() error { return locked.InstallKey("!", 0) },
			[]string{"dc1 (LAN) error: illegal base64 data at input byte 0"}},
		{"to install where nothing is encrypted", func() error { return open.InstallKey(key, 0) },
			[]string{"dc1 (LAN) error: 1/1 nodes reported failure", "srv2: Keyring is empty (encryption not enabled)"}},
		{"to list where nothing is encrypted", func() error { _, err := open.Keys(0, false); return err },
			[]string{"dc1 (LAN) error: 1/1 nodes reported failure", "srv2: Keyring is empty (encryption not enabled)"}},
		{"to list its own where nothing is encrypted", func() error { _, err := open.Keys(0, true); return err },
			[]string{"dc1 (LAN) error: 1/1 nodes reported failure", "srv2: Keyring is empty (encryption not enabled)"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var err error
			eventually(t, "it answers in time", func() bool {
				err = tc.do()
				return err == nil || err.Error() != "0/1 nodes reported success"
			})
			var refused *KeyError
			if !errors.As(err, &refused) || !slices.Equal(refused.Lines("dc1"), tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAPlaintextClusterBecomesEncrypted restarts three servers one at a time
// through the steps that operators take.
func TestAPlaintextClusterBecomesEncrypted(t *testing.T) {
	t.Parallel()
	key := newKey()
	verify := func(incoming, outgoing bool) func(*Config) {
		return func(c *Config) { c.Key, c.VerifyIncoming, c.VerifyOutgoing = key, incoming, outgoing }
	}
	nodes := three(t)
	every := slices.Clone(nodes)
	for _, change := range []func(*Config){verify(false, false), verify(false, true), verify(true, true)} {
		for i := range nodes {
			nodes[i] = nodes[i].restart(change)
			every = append(every, nodes[i])
			nodes[i].join(nodes[(i+1)%len(nodes)])
			for _, n := range nodes {
				nodes[i].expect(0, Join, n.cfg.NodeName)
			}
			hearEachOther(t, nodes...)
		}
	}
	for _, n := range nodes {
		if got := n.statuses(); got != "n1 alive, n2 alive, n3 alive" {
			t.Errorf("%s sees %s", n.cfg.NodeName, got)
		}
		if got := kept(t, n.cfg.DataDir); !slices.Equal(got, []string{key.Reveal()}) {
			t.Errorf("%s keeps %d keys", n.cfg.NodeName, len(got))
		}
	}
	all(t, func() error {
		keys, err := nodes[0].Keys(0, false)
		if err == nil && (keys.Nodes != 3 || keys.Primary[key.Reveal()] != 3) {
			t.Fatalf("%d nodes", keys.Nodes)
		}
		return err
	})
	noneFailed(t, every...)
	plain := start(t, "plain")
	if _, err := plain.Join(t.Context(), []string{nodes[0].Addr().String()}); err == nil {
		t.Error("a member without a key joined")
	}
}
