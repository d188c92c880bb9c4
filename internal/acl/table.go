package acl

import (
	"cmp"
	"strings"

	"github.com/lictor/lictor/internal/tenancy"
)

// layer holds merged rules by where they count. The block of exactly one
// partition and namespace is found in exact; wide holds the blocks that count in
// several, the most specific first.
type layer struct {
	exact map[tenancy.Scope]*block
	wide  []*block
}

// block is the rules for one choice of partitions and namespaces.
type block struct {
	partition selector
	namespace selector
	tables    [numTables]*table
}

// compare orders selectors, the more specific first: exact ones, then prefixes
// by falling length.
func (s selector) compare(other selector) int {
	return cmp.Or(cmp.Compare(s.how, other.how), cmp.Compare(len(other.name), len(s.name)), cmp.Compare(s.name, other.name))
}

// matches reports whether s, which is not own, chooses name.
func (s selector) matches(name string) bool {
	if s.how == exactly {
		return s.name == name
	}
	return strings.HasPrefix(name, s.name)
}

// table is the rules of one resource in a block. Rules of resources without
// labels are prefix rules of the empty label.
type table struct {
	exact    map[string]Access
	prefixes map[string]Access
	lengths  []int // of the prefixes, longest first, each once
}

// find returns the access of the exact rule for segment, else of the longest
// prefix of it, Unset if there is none; whole leaves out exact rules.
func (t *table) find(segment string, whole bool) Access {
	if t == nil {
		return Unset
	}
	if !whole {
		if a := t.exact[segment]; a != Unset {
			return a
		}
	}
	for _, n := range t.lengths {
		if n <= len(segment) {
			if a := t.prefixes[segment[:n]]; a != Unset {
				return a
			}
		}
	}
	return Unset
}

// below yields the rules whose label begins with segment and that are not
// overruled, until yield returns false; it returns what yield did.
func (t *table) below(segment string, overruled func(label string, whole bool) bool, yield func(Access) bool) bool {
	for label, a := range t.exact {
		if strings.HasPrefix(label, segment) && !overruled(label, false) && !yield(a) {
			return false
		}
	}
	for label, a := range t.prefixes {
		if strings.HasPrefix(label, segment) && !overruled(label, true) && !yield(a) {
			return false
		}
	}
	return true
}
