package cli

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"

	"github.com/hashicorp/consul/api"
)

// kvPutFlags are the flags of kv put.
type kvPutFlags struct {
	cas, base64, acquire, release bool
	modifyIndex, flags            uint64
	session                       string
}

func (f *kvPutFlags) register(fs *flag.FlagSet) {
	fs.BoolVar(&f.cas, "cas", false, "write only if the key has not changed since -modify-index; without that, only if it does not exist")
	fs.Uint64Var(&f.modifyIndex, "modify-index", 0, "`index` of the key's last change, for -cas")
	fs.Uint64Var(&f.flags, "flags", 0, "`number` to store with the key")
	fs.StringVar(&f.session, "session", "", "`ID` of the session that locks or unlocks")
	fs.BoolVar(&f.acquire, "acquire", false, "lock the key")
	fs.BoolVar(&f.release, "release", false, "unlock the key")
	fs.BoolVar(&f.base64, "base64", false, "DATA is in base64")
}

func kvPut() *Command {
	var c conn
	var f kvPutFlags
	return &Command{
		Name: "put", Args: "KEY [DATA]", Short: "Write a key",
		Long:  "DATA that begins with @ names a file, and - stands for standard input. Without DATA the value is empty.",
		Flags: func(fs *flag.FlagSet) { c.kvFlags(fs); f.register(fs) },
		Run: func(ctx context.Context, env *Env, args []string) error {
			pair, err := f.pair(env, args)
			if err != nil {
				return err
			}
			client, err := c.open(env)
			if err != nil {
				return err
			}
			return f.put(env.Out, client.KV(), pair, c.write(ctx))
		},
	}
}

// pair returns what is to be written.
func (f *kvPutFlags) pair(env *Env, args []string) (*api.KVPair, error) {
	switch {
	case len(args) == 0:
		return nil, errNoKV
	case len(args) > 2:
		return nil, complain("Too many arguments (expected 1 or 2, got %d)", len(args))
	case f.acquire && f.release:
		return nil, complain("Error! Cannot specify both -acquire and -release")
	case (f.acquire || f.release) && f.session == "":
		return nil, complain("Error! Missing -session (required with -acquire and -release)")
	case (f.acquire || f.release) && f.cas:
		return nil, complain("Error! Cannot specify -cas with -acquire or -release")
	}
	pair := &api.KVPair{Key: args[0], Flags: f.flags, ModifyIndex: f.modifyIndex, Session: f.session}
	if len(args) == 1 {
		return pair, nil
	}
	data, err := load(env, args[1])
	if err != nil {
		return nil, complain("Error! %w", err)
	}
	pair.Value = []byte(data)
	if f.base64 {
		if pair.Value, err = base64.StdEncoding.DecodeString(data); err != nil {
			return nil, complain("Error! Cannot base 64 decode data: %w", err)
		}
	}
	return pair, nil
}

func (f *kvPutFlags) put(out io.Writer, store *api.KV, pair *api.KVPair, q *api.WriteOptions) error {
	var err error
	done, text, refusal := true, "Data written to", ""
	switch {
	case f.cas:
		done, _, err = store.CAS(pair, q)
		refusal = fmt.Sprintf("Error! Did not write to %s: CAS failed", pair.Key)
		if f.modifyIndex == 0 {
			refusal = fmt.Sprintf("Error! Did not write to %s: CAS performed with index=0 and key already exists.", pair.Key)
		}
	case f.acquire:
		done, _, err = store.Acquire(pair, q)
		text, refusal = "Lock acquired on", "Error! Did not acquire lock"
	case f.release:
		done, _, err = store.Release(pair, q)
		text, refusal = "Lock released on", "Error! Did not release lock"
	default:
		_, err = store.Put(pair, q)
	}
	if err != nil {
		return complain("Error! Failed writing data: %w", err)
	}
	if !done {
		return complain("%s", refusal)
	}
	fmt.Fprintf(out, "Success! %s: %s\n", text, pair.Key)
	return nil
}

func kvDelete() *Command {
	var c conn
	var recurse, cas bool
	var modifyIndex uint64
	return &Command{
		Name: "delete", Args: "KEY", Short: "Delete a key, or all keys with a prefix",
		Long: "With -recurse and without KEY everything is deleted.",
		Flags: func(fs *flag.FlagSet) {
			c.kvFlags(fs)
			fs.BoolVar(&recurse, "recurse", false, "delete all keys that begin with KEY")
			fs.BoolVar(&cas, "cas", false, "delete only if the key has not changed since -modify-index")
			fs.Uint64Var(&modifyIndex, "modify-index", 0, "`index` of the key's last change, for -cas")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			key, err := kvKey(args)
			if err != nil {
				return err
			}
			switch {
			case key == "" && !recurse:
				return errNoKV
			case !cas && modifyIndex != 0:
				return complain("Cannot specify -modify-index without -cas")
			case cas && recurse:
				return complain("Cannot specify both -cas and -recurse")
			case cas && modifyIndex == 0:
				return complain("Must specify a -modify-index greater than 0 with -cas")
			}
			client, err := c.open(env)
			if err != nil {
				return err
			}
			done, text := true, "Success! Deleted key: %s\n"
			switch {
			case recurse:
				_, err = client.KV().DeleteTree(key, c.write(ctx))
				text = "Success! Deleted keys with prefix: %s\n"
				if err != nil {
					return complain("Error! Did not delete prefix %s: %w", key, err)
				}
			case cas:
				done, _, err = client.KV().DeleteCAS(&api.KVPair{Key: key, ModifyIndex: modifyIndex}, c.write(ctx))
			default:
				_, err = client.KV().Delete(key, c.write(ctx))
			}
			if err != nil {
				return complain("Error! Did not delete key %s: %w", key, err)
			}
			if !done {
				return complain("Error! Did not delete key %s: CAS failed", key)
			}
			fmt.Fprintf(env.Out, text, key)
			return nil
		},
	}
}
