package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNodeIDOfAnotherServer(t *testing.T) {
	const other = "6a407fca-6a84-466f-9e34-00b004976f47"
	dir := t.TempDir()
	id, err := NodeID(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "raft"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := NodeID(dir, other); err == nil || !strings.Contains(err.Error(), "belongs to server "+id+", not to "+other) {
		t.Errorf("a server takes the log of another one: %v", err)
	}
	if again, err := NodeID(dir, ""); err != nil || again != id {
		t.Errorf("afterwards the id is %s, %v; want %s", again, err, id)
	}
}
