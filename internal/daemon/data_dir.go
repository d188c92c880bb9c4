package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/lictor/lictor/internal/atomicfile"
	"github.com/lictor/lictor/internal/uuid"
)

// NodeID returns the node's id: the configured one, else the one kept in the
// data directory, else a new one. What it returns is kept, unless dir is "". It is an error
// if dir holds the log of a server with another id.
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
		id = uuid.New()
	}
	if !uuid.Valid(id) {
		return "", fmt.Errorf("node_id: %q is not a UUID", id)
	}
	if dir == "" || id == string(kept) {
		return id, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "raft")); err == nil && len(kept) > 0 {
		return "", fmt.Errorf("data directory %s belongs to server %s, not to %s: set node_id to its id, or use another data directory",
			dir, strings.TrimSpace(string(kept)), id)
	}
	return id, atomicfile.Write(path, 0o600, true, strings.NewReader(id))
}
