package daemon

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// NodeID returns the node's id: the configured one, else the one kept in the
// data directory, else a new one. What it returns is kept, unless dir is "".
func NodeID(dir, configured string) (string, error) {
	path, kept := filepath.Join(dir, "node-id"), []byte(nil)
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("data_dir: %w", err)
		}
		var err error
		if kept, err = os.ReadFile(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	id := strings.ToLower(configured)
	if id == "" {
		id = strings.TrimSpace(string(kept))
	}
	if id == "" {
		id = newUUID()
	}
	if !uuidForm.MatchString(id) {
		return "", fmt.Errorf("node_id: %q is not a UUID", id)
	}
	if dir == "" || id == string(kept) {
		return id, nil
	}
	return id, writeFile(path, []byte(id))
}

// writeFile replaces a file by a complete new one of mode 0600.
func writeFile(path string, content []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it is renamed
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// newUUID returns a random version 4 UUID (RFC 9562).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
