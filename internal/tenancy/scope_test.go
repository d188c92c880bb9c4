package tenancy

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name                 string
		partition, namespace string
		want                 Scope
		invalid              bool
	}{
		{name: "nothing is default", want: Default},
		{name: "names are lower-cased", partition: "Team-A", namespace: "Web", want: Scope{Namespace: "web", Partition: "team-a"}},
		{name: "63 letters are a label", namespace: strings.Repeat("n", 63), want: Scope{Namespace: strings.Repeat("n", 63), Partition: DefaultName}},
		{name: "64 letters are not", namespace: strings.Repeat("n", 64), invalid: true},
		{name: "a namespace may begin with a digit", namespace: "1a", want: Scope{Namespace: "1a", Partition: DefaultName}},
		{name: "a partition may not", partition: "1a", invalid: true},
		{name: "a hyphen at the end", namespace: "a-", invalid: true},
		{name: "a hyphen at the start", partition: "-a", invalid: true},
		{name: "a slash", namespace: "a/b", invalid: true},
		{name: "a dot", partition: "a.b", invalid: true},
		{name: "a letter that is not ASCII", namespace: "ä", invalid: true},
		{name: "the wildcard where one namespace is meant", namespace: "*", invalid: true},
		{name: "a wildcard partition", partition: "*", invalid: true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Parse(tc.partition, tc.namespace)
			if tc.invalid {
				if errs.KindOf(err) != errs.Invalid {
					t.Errorf("error %v, want an invalid name", err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("%v, %v, want %v", got, err, tc.want)
			}
		})
	}
	if got, err := ParseWildcard("team-a", "*"); err != nil || got != (Scope{Namespace: Wildcard, Partition: "team-a"}) {
		t.Errorf("ParseWildcard: %v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "default", "*", "a-b", "-", "A", "\x00"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, partition, namespace string) {
		s, err := Parse(partition, namespace)
		if err != nil {
			return
		}
		again, err := Parse(s.Partition, s.Namespace)
		if err != nil || again != s {
			t.Errorf("%v parses again as %v, %v", s, again, err)
		}
	})
}
