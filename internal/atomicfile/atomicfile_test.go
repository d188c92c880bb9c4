package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

func TestWriteReplacesTheWholeFileOrNothing(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name    string
		mode    os.FileMode
		durable bool
		content io.Reader
		want    string
		err     error
	}{
		{"a file that others may read", 0o644, false, strings.NewReader("new"), "new", nil},
		{"a file of its owner", 0o600, true, strings.NewReader("new"), "new", nil},
		{"a program", 0o755, true, strings.NewReader("new"), "new", nil},
		{"nothing", 0o600, false, strings.NewReader(""), "", nil},
		{"content that breaks off", 0o600, true, io.MultiReader(strings.NewReader("new"), iotest.ErrReader(broken)), "old", broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
				t.Fatal(err)
			}
			if err := Write(path, tc.mode, tc.durable, tc.content); !errors.Is(err, tc.err) {
				t.Fatalf("got error %v, want %v", err, tc.err)
			}
			if got := read(t, path); got != tc.want {
				t.Errorf("the file holds %q, want %q", got, tc.want)
			}
			if info, err := os.Stat(path); err != nil || tc.err == nil && info.Mode().Perm() != tc.mode {
				t.Errorf("mode %v, want %v (%v)", info.Mode(), tc.mode, err)
			}
			if left := names(t, dir); len(left) != 1 {
				t.Errorf("the directory holds %q", left)
			}
		})
	}
}

func TestAFileIsSeenOnceItIsCommitted(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("new"); err != nil {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) != 1 || !Unfinished(left[0]) || Unfinished("file") {
		t.Errorf("before the commit the directory holds %q", left)
	}
	if err := errors.Join(f.Commit(0o600, true), f.Close()); err != nil {
		t.Fatal(err)
	}
	if got, left := read(t, path), names(t, dir); got != "new" || len(left) != 1 {
		t.Errorf("after it %q, and the directory holds %q", got, left)
	}
}

func TestWhatCannotBeReplacedStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "directory")
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, 0o600, false, strings.NewReader("new")); err == nil {
		t.Error("a directory was replaced by a file")
	}
	if left := names(t, dir); len(left) != 1 {
		t.Errorf("the directory holds %q", left)
	}
	if err := Write(filepath.Join(dir, "nosuch", "file"), 0o600, false, strings.NewReader("new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without its directory: %v", err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}
