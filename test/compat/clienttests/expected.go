package main

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

// expectedText says what each test does: groups in brackets, with the build tag
// that their tests need behind a space; below each, lines of an outcome and a
// test. Behind a test that does not pass stands the reason.
//
//go:embed expected.txt
var expectedText string

// The outcomes of a test, as go test prints them.
const (
	pass = "PASS"
	fail = "FAIL"
	skip = "SKIP"
)

type group struct {
	name  string
	tag   string // build tag; empty is none
	tests []expectation
}

type expectation struct {
	name    string
	outcome string
	reason  string // of what is not pass
}

func parseExpected(text string) ([]group, error) {
	var groups []group
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if head, ok := strings.CutPrefix(line, "["); ok {
			name, tag, _ := strings.Cut(strings.TrimSuffix(head, "]"), " ")
			groups = append(groups, group{name: name, tag: tag})
			continue
		}
		outcome, rest, _ := strings.Cut(line, " ")
		name, reason, _ := strings.Cut(strings.TrimSpace(rest), " ")
		t := expectation{name: name, outcome: strings.ToUpper(outcome), reason: strings.TrimSpace(reason)}
		switch {
		case len(groups) == 0:
			return nil, fmt.Errorf("expected.txt:%d: a test before the first group", i+1)
		case name == "" || t.outcome != pass && t.outcome != fail && t.outcome != skip:
			return nil, fmt.Errorf("expected.txt:%d: want pass, fail or skip, and a test", i+1)
		case (t.outcome == pass) != (t.reason == ""):
			return nil, fmt.Errorf("expected.txt:%d: a reason is for what does not pass, and only for that", i+1)
		}
		g := &groups[len(groups)-1]
		g.tests = append(g.tests, t)
	}
	return groups, nil
}

// matching returns g with the tests alone whose names match.
func (g group) matching(names *regexp.Regexp) group {
	var tests []expectation
	for _, t := range g.tests {
		if names.MatchString(t.name) {
			tests = append(tests, t)
		}
	}
	g.tests = tests
	return g
}

// page returns docs/compatibility.md.
func page(groups []group) string {
	var out strings.Builder
	out.WriteString(pageHead)
	for _, g := range groups {
		passing := 0
		for _, t := range g.tests {
			if t.outcome == pass {
				passing++
			}
		}
		edition := ""
		if g.tag != "" {
			edition = "`" + g.tag + "`"
		}
		fmt.Fprintf(&out, "| %s | %s | %d | %d |\n", g.name, edition, len(g.tests), passing)
	}
	out.WriteString(pageMiddle)
	for _, g := range groups {
		for _, t := range g.tests {
			if t.outcome != pass {
				fmt.Fprintf(&out, "| %s | %s | %s |\n", g.name, t.name, t.reason)
			}
		}
	}
	out.WriteString(pageTail)
	return out.String()
}
