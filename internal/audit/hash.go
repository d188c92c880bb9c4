package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lictor/lictor/internal/logging"
)

// hashPrefix begins every hash in an event (spec: audit.md section 3).
const hashPrefix = "hmac_sha256:"

// hasher makes values recognisable to who knows them, and to nobody else.
type hasher struct{ key []byte }

// openHasher reads the key in a file, which it makes first if there is none. Without a path the key
// lasts as long as the process.
func openHasher(path string) (hasher, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	if path == "" {
		return hasher{key}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(hex.EncodeToString(key) + "\n")
		return hasher{key}, errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path)))
	}
	if !errors.Is(err, fs.ErrExist) {
		return hasher{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return hasher{}, err
	}
	key, err = hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) < 32 {
		return hasher{}, fmt.Errorf("%s does not hold a key of 32 bytes in hexadecimal digits", path)
	}
	return hasher{key}, nil
}

func (h hasher) begin() hash.Hash { return hmac.New(sha256.New, h.key) }

func (h hasher) sum(value string) string {
	mac := h.begin()
	mac.Write([]byte(value))
	return hashPrefix + hex.EncodeToString(mac.Sum(nil))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// minScrubbed is how many bytes a secret has at least that Scrub looks for.
const minScrubbed = 8

// Scrub returns text with what hash makes of secret wherever that is written.
func Scrub(text string, secret logging.Secret, hash func(string) string) string {
	if len(secret) < minScrubbed || !strings.Contains(text, secret.Reveal()) {
		return text
	}
	return strings.ReplaceAll(text, secret.Reveal(), hash(secret.Reveal()))
}
