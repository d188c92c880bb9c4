package httpapi

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the reference in docs/")

// TestReference keeps docs/api.md equal to the route table.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "api.md")
	want := reference()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/api.md is not what the route table says: go test ./internal/httpapi -run Reference -update")
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# HTTP routes

Made from the route table in ` + "`internal/httpapi`" + `. A path part in braces varies. *Served by* says who answers: the agent
that is asked, any server, or the leader. *Permission* is what the caller's token needs, in the scope of the request.

| method | path | served by | permission | operation |
| --- | --- | --- | --- | --- |
`)
	for _, r := range Routes() {
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s | %s |\n", r.Method, r.Path, r.Served, r.Permission, r.Operation)
	}
	return b.String()
}
