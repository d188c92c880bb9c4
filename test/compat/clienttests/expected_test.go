package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/compatibility.md")

func TestPageIsWhatTheListSays(t *testing.T) {
	groups, err := parseExpected(expectedText)
	if err != nil {
		t.Fatal(err)
	}
	const path = "../../../docs/compatibility.md"
	want := page(groups)
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
		t.Error("docs/compatibility.md is not what expected.txt says: go test ./test/compat/clienttests -update")
	}
}

func TestEveryTestIsListedOnceForATag(t *testing.T) {
	groups, err := parseExpected(expectedText)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range groups {
		for _, e := range g.tests {
			if key := g.tag + " " + e.name; seen[key] {
				t.Errorf("%s is listed twice", e.name)
			} else {
				seen[key] = true
			}
		}
	}
}

func TestListsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"a test before a group", "pass TestA", "expected.txt:1: a test before the first group"},
		{"an unknown outcome", "[g]\nmaybe TestA", "expected.txt:2: want pass, fail or skip, and a test"},
		{"a failure without a reason", "[g]\nfail TestA", "expected.txt:2: a reason is for what does not pass"},
		{"a pass with a reason", "[g]\npass TestA because", "expected.txt:2: a reason is for what does not pass"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := parseExpected(tc.text); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestWhatDiffersIsReported(t *testing.T) {
	groups, err := parseExpected("# a comment\n[g tag]\npass TestA\nfail TestB it has a reason\npass TestC\npass TestD\n")
	if err != nil {
		t.Fatal(err)
	}
	g := groups[0].matching(regexp.MustCompile("Test[ABC]"))
	log := "=== RUN   TestA\n--- PASS: TestA (2.05s)\n    --- FAIL: TestA/inner (0.00s)\n--- PASS: TestB (0.00s)\n"
	var out strings.Builder
	if n := report(&out, g, readOutcomes(log)); n != 2 {
		t.Errorf("%d differ, want 2", n)
	}
	if want := "TestB: PASS, expected FAIL\nTestC: did not run to its end\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	if g.tag != "tag" || g.name != "g" {
		t.Errorf("group %q with tag %q", g.name, g.tag)
	}
}
