package cli

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// gossipKeyLen is the length of a gossip key in bytes, for AES-256.
const gossipKeyLen = 32

func keygen() *Command {
	return &Command{
		Name: "keygen", Short: "Make a gossip encryption key",
		Run: func(_ context.Context, env *Env, _ []string) error {
			key := make([]byte, gossipKeyLen)
			_, _ = rand.Read(key) // never fails
			_, err := fmt.Fprintln(env.Out, base64.StdEncoding.EncodeToString(key))
			return err
		},
	}
}
