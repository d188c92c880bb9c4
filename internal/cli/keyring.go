package cli

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"
)

// maxRelay is how many other ways the members' answers may be asked to take.
const maxRelay = 5

// keyringFlags are what consul keyring is told to do. Exactly one of the
// actions is set.
type keyringFlags struct {
	list, listPrimary    bool
	install, use, remove string // keys
	relay                int
	local                bool
}

func keyring() *Command {
	var b base
	var f keyringFlags
	return &Command{
		Name: "keyring", Short: "Manage the keys that encrypt gossip",
		Long: "A key is replaced on all members by -install with the new one, -use with it, and -remove with the old one.",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.BoolVar(&f.list, "list", false, "show the keys and how many members have each")
			fs.BoolVar(&f.listPrimary, "list-primary", false, "show the keys that members encrypt with")
			fs.StringVar(&f.install, "install", "", "give every member a new `key`")
			fs.StringVar(&f.use, "use", "", "make every member encrypt with a `key` that they have")
			fs.StringVar(&f.remove, "remove", "", "take a `key` that no member encrypts with from all of them")
			fs.IntVar(&f.relay, "relay-factor", 0, "`number` of other ways, at most 5, on which each answer is sent too")
			fs.BoolVar(&f.local, "local-only", false, "ask only the server that answers, for lists")
		},
		Run: func(ctx context.Context, env *Env, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if err := f.run(ctx, env, client.Operator()); err != nil {
				return complain("error: %w", err)
			}
			return nil
		},
	}
}

func (f *keyringFlags) check() error {
	actions := 0
	for _, set := range []bool{f.list, f.listPrimary, f.install != "", f.use != "", f.remove != ""} {
		if set {
			actions++
		}
	}
	switch {
	case actions == 0:
		return misuse("One of -list, -list-primary, -install, -use and -remove is needed")
	case actions > 1:
		return complain("Only a single action is allowed")
	case f.relay < 0 || f.relay > maxRelay:
		return complain("Error parsing relay factor: Relay factor must be in range: [0, %d]", maxRelay)
	case f.local && !f.list && !f.listPrimary:
		return complain("Error validating local-only: local-only can only be set for list requests")
	}
	return nil
}

func (f *keyringFlags) run(ctx context.Context, env *Env, op *api.Operator) error {
	write := (&api.WriteOptions{RelayFactor: uint8(f.relay)}).WithContext(ctx)
	switch {
	case f.install != "":
		fmt.Fprintln(env.Out, "==> Installing new gossip encryption key...")
		return op.KeyringInstall(f.install, write)
	case f.use != "":
		fmt.Fprintln(env.Out, "==> Changing primary gossip encryption key...")
		return op.KeyringUse(f.use, write)
	case f.remove != "":
		fmt.Fprintln(env.Out, "==> Removing gossip encryption key...")
		return op.KeyringRemove(f.remove, write)
	case f.listPrimary:
		fmt.Fprintln(env.Out, "==> Gathering installed primary encryption keys...")
	default:
		fmt.Fprintln(env.Out, "==> Gathering installed encryption keys...")
	}
	pools, err := op.KeyringList((&api.QueryOptions{RelayFactor: uint8(f.relay), LocalOnly: f.local}).WithContext(ctx))
	if err != nil {
		return err
	}
	fmt.Fprintln(env.Out)
	for _, pool := range pools {
		f.show(env, pool)
	}
	return nil
}

// show prints the keys of a gossip pool and how many of its members have each.
func (f *keyringFlags) show(env *Env, pool *api.KeyringResponse) {
	name := "WAN"
	if !pool.WAN {
		name = pool.Datacenter + " (LAN)"
		if pool.Segment != "" {
			name = fmt.Sprintf("%s (LAN) [%s]", pool.Datacenter, pool.Segment)
		}
	}
	fmt.Fprintf(env.Out, "%s:\n", name)
	for _, from := range slices.Sorted(maps.Keys(pool.Messages)) {
		fmt.Fprintf(env.Out, "  ===> %s: %s\n", from, pool.Messages[from])
	}
	keys := pool.Keys
	if f.listPrimary {
		keys = pool.PrimaryKeys
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		fmt.Fprintf(env.Out, "  %s [%d/%d]\n", key, keys[key], pool.NumNodes)
	}
	fmt.Fprintln(env.Out)
}
