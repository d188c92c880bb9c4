package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	testFunc   = regexp.MustCompile(`(?m)^func (Test(?:CVE|SECVULN|Attack)_\w+)\(`)
	testNamed  = regexp.MustCompile("`(Test\\w+)`")
	advisoryID = regexp.MustCompile(`^Test(CVE_\d+_\d+|SECVULN_\d+)`)
)

// docs/attacks.md names tests that exist, has every advisory that a test is named for, and no
// row without a test or the reason why there is none.
func TestAttacksOnThePageAreTested(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "attacks.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := attackTests(t)
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| ") || len(cells) != 3 || strings.HasPrefix(line, "| id ") || strings.HasPrefix(line, "| ---") {
			continue
		}
		rows++
		named := testNamed.FindAllStringSubmatch(cells[2], -1)
		if len(named) == 0 && !strings.HasPrefix(strings.TrimSpace(cells[2]), "waits") {
			t.Errorf("no test and no reason: %s", line)
		}
		for _, name := range named {
			if !slices.Contains(tests, name[1]) {
				t.Errorf("there is no test %s", name[1])
			}
		}
	}
	if rows < 50 || len(tests) < 50 {
		t.Fatalf("only %d rows and %d tests seen", rows, len(tests))
	}
	for _, name := range tests {
		id := advisoryID.FindStringSubmatch(name)
		if id != nil && !strings.Contains(string(page), strings.ReplaceAll(id[1], "_", "-")) {
			t.Errorf("%s is for an advisory that is not on the page", name)
		}
	}
}

// attackTests returns the names of all tests that are named for an attack.
func attackTests(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, root := range []string{".", filepath.Join("..", "test"), filepath.Join("..", "cmd")} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			for _, found := range testFunc.FindAllSubmatch(src, -1) {
				names = append(names, string(found[1]))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}
