package gossip

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/hashicorp/memberlist"

	"github.com/lictor/lictor/internal/atomicfile"
	"github.com/lictor/lictor/internal/logging"
)

// maxKeyring bounds the keyring file, which holds a few keys.
const maxKeyring = 64 << 10

// openKeyring returns the keys in file, or else key alone, or nil if there is
// neither. file may be "". A key that a keyring file makes useless is warned about.
func openKeyring(file string, key logging.Secret, log *slog.Logger) (*memberlist.Keyring, error) {
	keys, err := readKeyring(file)
	if err != nil {
		return nil, fmt.Errorf("keyring file %s: %w", file, err)
	}
	configured, err := decodeKey(key.Reveal())
	if err != nil {
		return nil, fmt.Errorf("encrypt has invalid key: %w", err)
	}
	switch {
	case len(keys) > 0:
		if configured != nil && string(configured) != string(keys[0]) {
			log.Warn("there is a keyring file, so the encrypt setting is ignored", slog.String("file", file))
		}
		return memberlist.NewKeyring(keys, keys[0])
	case configured != nil:
		return memberlist.NewKeyring(nil, configured)
	}
	return nil, nil
}

// decodeKey returns nil for "".
func decodeKey(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return key, memberlist.ValidateKey(key)
}

// readKeyring returns the keys in file, the primary one first, and none if
// there is no such file. So it does for a file without content, which is what a
// full disk leaves.
func readKeyring(file string) ([][]byte, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyring))
	if err != nil || len(data) == 0 {
		return nil, err
	}
	return parseKeyring(data)
}

// parseKeyring reads a JSON array of keys in base64. Its errors hold no key.
func parseKeyring(data []byte) ([][]byte, error) {
	var texts []string
	if json.Unmarshal(data, &texts) != nil {
		return nil, errors.New("is not a JSON array of strings")
	}
	if len(texts) == 0 {
		return nil, errors.New("holds no keys")
	}
	keys := make([][]byte, len(texts))
	for i, text := range texts {
		key, err := decodeKey(text)
		if err == nil && key == nil {
			err = errors.New("is empty")
		}
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		keys[i] = key
	}
	return keys, nil
}

// KeepKeyring writes the keyring file unless there is one. Call it once the key
// has proved to work: Join does, and whoever finds that this agent is a cluster by
// itself has to. While plaintext is sent and accepted the key has proved nothing, and nothing is written.
func (g *Gossip) KeepKeyring() error {
	if g.keyFile == "" || g.lan.Keyring == nil || !g.cfg.VerifyIncoming && !g.cfg.VerifyOutgoing {
		return nil
	}
	if info, err := os.Stat(g.keyFile); err == nil && info.Size() > 0 {
		return nil
	}
	return writeKeyring(g.keyFile, g.lan.Keyring.GetKeys())
}

// writeKeyring replaces file as a whole or not at all.
func writeKeyring(file string, keys [][]byte) error {
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = base64.StdEncoding.EncodeToString(key)
	}
	data, err := json.MarshalIndent(texts, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(file, 0o600, true, bytes.NewReader(data))
}
