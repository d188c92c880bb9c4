package gossip

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/logging"
)

func keyFileOf(dir string) string { return filepath.Join(dir, "serf", "local.keyring") }

// kept returns the keys in the keyring file of a data directory, nil without one.
func kept(t *testing.T, dir string) []string {
	t.Helper()
	data, err := os.ReadFile(keyFileOf(dir))
	if os.IsNotExist(err) {
		return nil
	}
	var keys []string
	if err == nil {
		err = json.Unmarshal(data, &keys)
	}
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestAWrongKeyStaysOutAndCanJoinLater(t *testing.T) {
	t.Parallel()
	right, dir := newKey(), t.TempDir()
	server := start(t, "server", asServer, withKey(right))
	for _, wrong := range []logging.Secret{newKey(), ""} {
		client := start(t, "client", withKey(wrong), in(dir))
		client.staysOut(server, "its gossip key is not one of this agent's")
		if got := server.statuses(); got != "server alive" {
			t.Fatalf("the server sees %s", got)
		}
		if kept(t, dir) != nil {
			t.Fatal("a key that does not work is kept")
		}
		client.stop()
	}
	client := start(t, "client", withKey(right), in(dir))
	client.join(server)
	if got := kept(t, dir); len(got) != 1 || got[0] != right.Reveal() {
		t.Errorf("%d keys are kept", len(got))
	}
	info, err := os.Stat(keyFileOf(dir))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAServerAloneKeepsItsKeyWhenItIsTold(t *testing.T) {
	t.Parallel()
	dir, key := t.TempDir(), newKey()
	server := start(t, "server", asServer, withKey(key), in(dir))
	if _, err := server.Join(context.Background(), []string{server.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	if kept(t, dir) != nil {
		t.Error("it has proved its key to nobody but itself")
	}
	if err := server.KeepKeyring(); err != nil {
		t.Fatal(err)
	}
	if got := kept(t, dir); len(got) != 1 || got[0] != key.Reveal() {
		t.Errorf("%d keys are kept", len(got))
	}
}

func TestWhichKeyringIsKept(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Config)
		kept   bool
	}{
		{"of an encrypted cluster", func(*Config) {}, true},
		{"while plaintext is sent and accepted", func(c *Config) { c.VerifyIncoming, c.VerifyOutgoing = false, false }, false},
		{"while plaintext is accepted", func(c *Config) { c.VerifyIncoming = false }, true},
		{"where the file is disabled", func(c *Config) { c.DisableKeyring = true }, false},
		{"without a key", func(c *Config) { c.Key = "" }, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			n := start(t, "n1", withKey(newKey()), in(dir), tc.change)
			if err := n.KeepKeyring(); err != nil {
				t.Fatal(err)
			}
			if got := kept(t, dir) != nil; got != tc.kept {
				t.Errorf("kept: %v", got)
			}
		})
	}
}

func TestOpenKeyring(t *testing.T) {
	a, b := newKey(), newKey()
	list := func(keys ...logging.Secret) string {
		texts := make([]string, len(keys))
		for i, k := range keys {
			texts[i] = k.Reveal()
		}
		data, _ := json.Marshal(texts)
		return string(data)
	}
	tests := []struct {
		name    string
		file    string // "-" is none
		key     logging.Secret
		primary logging.Secret
		keys    int
		warning bool
		err     string
	}{
		{"no file and no key", "-", "", "", 0, false, ""},
		{"the key alone", "-", a, a, 1, false, ""},
		{"the file alone", list(a, b), "", a, 2, false, ""},
		{"the file before another key", list(a, b), b, a, 2, true, ""},
		{"the file and its primary key", list(a, b), a, a, 2, false, ""},
		{"a file without content, which a full disk leaves", "", b, b, 1, false, ""},
		{"a file without keys", "[]", a, "", 0, false, "holds no keys"},
		{"a file that is cut", `["` + a.Reveal(), a, "", 0, false, "is not a JSON array of strings"},
		{"a key in the file that is none", `["x"]`, "", "", 0, false, "key 1: illegal base64 data at input byte 0"},
		{"an empty key in the file", list(a, ""), "", "", 0, false, "key 2: is empty"},
		{"a short key in the file", `["AAAA"]`, "", "", 0, false, "key 1: key size must be 16, 24 or 32 bytes"},
		{"a key that is no base64", "-", "!", "", 0, false, "encrypt has invalid key: illegal base64 data at input byte 0"},
		{"a short key", "-", "AAAA", "", 0, false, "encrypt has invalid key: key size must be 16, 24 or 32 bytes"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "local.keyring")
			if tc.file != "-" {
				if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			ring, err := openKeyring(path, tc.key, slog.New(slog.NewTextHandler(&log, nil)))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), a.Reveal()) {
					t.Fatalf("got %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if warned := strings.Contains(log.String(), "encrypt setting is ignored"); warned != tc.warning {
				t.Errorf("warned: %v", warned)
			}
			if ring == nil {
				if tc.keys > 0 {
					t.Error("there is no keyring")
				}
				return
			}
			want, _ := decodeKey(tc.primary.Reveal())
			if len(ring.GetKeys()) != tc.keys || !bytes.Equal(ring.GetPrimaryKey(), want) {
				t.Errorf("%d keys", len(ring.GetKeys()))
			}
		})
	}
}

func FuzzKeyring(f *testing.F) {
	f.Add([]byte(`["AAAAAAAAAAAAAAAAAAAAAA==","AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]`))
	f.Add([]byte(`[]`))
	f.Add([]byte(`{"a":1}`))
	f.Add([]byte(`["`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseKeyring(data)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, k := range keys {
			if len(k) != 16 && len(k) != 24 && len(k) != 32 {
				t.Fatalf("a key of %d bytes", len(k))
			}
		}
	})
}
