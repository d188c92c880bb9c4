package authmethod

import (
	"fmt"

	"github.com/lictor/lictor/internal/filter"
)

// Selector is a boolean expression over an identity's attributes, in the
// language of the API's filters (authmethods.md section 6.2). The zero Selector
// matches everything.
type Selector struct{ filter filter.Filter }

// ParseSelector reads a selector of at most 4096 bytes and checks it against
// the attributes of example. Empty text matches everything. It returns
// errs.Invalid for what does not parse, for an attribute that example lacks, and for an
// operator that does not fit the attribute.
func ParseSelector(text string, example Identity) (Selector, error) {
	f, err := filter.Compile(text, example.Attributes)
	return Selector{f}, err
}

// Match reports whether id is selected. A key that a map lacks equals nothing.
func (s Selector) Match(id Identity) bool { return s.filter.Match(id.Attributes) }

func selects(text string, id Identity) (bool, error) {
	s, err := ParseSelector(text, id)
	if err != nil {
		return false, fmt.Errorf("Selector is invalid: %w", err)
	}
	return s.Match(id), nil
}
