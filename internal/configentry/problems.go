package configentry

import (
	"fmt"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// maxProblems is how many an answer names.
const maxProblems = 20

// problems are the things wrong with an entry.
type problems []string

func (p *problems) add(format string, args ...any) {
	if len(*p) < maxProblems {
		*p = append(*p, fmt.Sprintf(format, args...))
	}
}

// first returns the first problem, of kind errs.Invalid; nil if there is none.
func (p problems) first() error {
	if len(p) == 0 {
		return nil
	}
	return errs.New(errs.Invalid, p[0])
}

// all returns the problems in the layout that operators know: a count and a line for each; nil if
// there are none.
func (p problems) all() error {
	if len(p) == 0 {
		return nil
	}
	count := "1 error"
	if len(p) > 1 {
		count = fmt.Sprintf("%d errors", len(p))
	}
	return errs.Errorf(errs.Invalid, "%s occurred:\n\t* %s\n\n", count, strings.Join(p, "\n\t* "))
}

// among complains about a value that is none of those allowed.
func (p *problems) among(what, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	p.add("invalid %s: %q", what, value)
}

// within complains about a number that is not from least to most.
func (p *problems) within(what string, value, least, most int) {
	if value < least || value > most {
		p.add("%s must be from %d to %d, not %d", what, least, most, value)
	}
}

// withinIf is within for a number that may be missing.
func (p *problems) withinIf(what string, value *int, least, most int) {
	if value != nil {
		p.within(what, *value, least, most)
	}
}
