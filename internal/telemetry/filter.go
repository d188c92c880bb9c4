package telemetry

import "strings"

// Filter says which metrics are kept, by the beginning of their full names. The longest rule that fits
// counts; of equal ones the one that leaves out. The zero value keeps everything.
type Filter struct {
	Rules      []string // "+prefix" keeps, "-prefix" leaves out
	DropOthers bool     // what no rule fits is left out
}

func (f Filter) keeps(name string) bool {
	keep, longest := !f.DropOthers, 0
	for _, rule := range f.Rules {
		prefix := rule[1:]
		if len(prefix) < longest || !strings.HasPrefix(name, prefix) {
			continue
		}
		added := rule[0] == '+'
		if len(prefix) == longest {
			added = added && keep
		}
		keep, longest = added, len(prefix)
	}
	return keep
}
