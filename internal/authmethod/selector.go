package authmethod

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr/grammar"

	"github.com/lictor/lictor/internal/errs"
)

// Limits on a selector. The library's parser backtracks: each level of
// parentheses multiplies its work, so the number of steps is what bounds it. They suffice for
// five levels, and for thousands of bytes without any.
const (
	maxSelector      = 4096 // bytes
	maxSelectorSteps = 500_000
)

// Selector is a boolean expression over an identity's attributes, in the
// language of the API's filters (authmethods.md section 6.2). The zero Selector
// matches everything.
type Selector struct{ test test }

// test is an expression, ready to be asked.
type test func(attributes map[string]any) bool

// ParseSelector reads a selector of at most 4096 bytes and checks it against
// the attributes of example. Empty text matches everything. It returns
// errs.Invalid for what does not parse, for an attribute that example lacks, and for an
// operator that does not fit the attribute.
func ParseSelector(text string, example Identity) (s Selector, err error) {
	if text == "" {
		return Selector{}, nil
	}
	if len(text) > maxSelector {
		return Selector{}, errs.Errorf(errs.Invalid, "the expression is longer than %d bytes", maxSelector)
	}
	defer func() {
		if r := recover(); r != nil {
			s, err = Selector{}, errs.Errorf(errs.Invalid, "cannot parse the expression: %v", r)
		}
	}()
	tree, err := grammar.Parse("", []byte(plainLiterals(text)), grammar.MaxExpressions(maxSelectorSteps))
	if err != nil {
		if strings.Contains(err.Error(), "max number of expressions") {
			err = errors.New("the expression is nested too deeply")
		}
		return Selector{}, errs.Errorf(errs.Invalid, "%w", err)
	}
	t, err := compile(tree, example.Attributes)
	if err != nil {
		return Selector{}, errs.Errorf(errs.Invalid, "%w", err)
	}
	return Selector{t}, nil
}

// Match reports whether id is selected. A key that a map lacks equals nothing.
func (s Selector) Match(id Identity) bool {
	return s.test == nil || s.test(id.Attributes)
}

func selects(text string, id Identity) (bool, error) {
	s, err := ParseSelector(text, id)
	if err != nil {
		return false, fmt.Errorf("Selector is invalid: %w", err)
	}
	return s.Match(id), nil
}

// plainLiterals makes each quoted value that begins with a slash a raw one:
// the library takes "/a/b" for a JSON pointer and would compare with a/b.
func plainLiterals(text string) string {
	var out strings.Builder
	for {
		start := strings.IndexAny(text, "\"`")
		if start < 0 {
			break
		}
		end := strings.IndexByte(text[start+1:], text[start])
		if end < 0 {
			break // the parser says what is wrong
		}
		end += start + 2
		out.WriteString(text[:start])
		out.WriteString(rawLiteral(text[start:end]))
		text = text[end:]
	}
	out.WriteString(text)
	return out.String()
}

// rawLiteral returns a literal with its quotes, in backticks if it begins with a slash.
func rawLiteral(quoted string) string {
	if !strings.HasPrefix(quoted, `"/`) {
		return quoted
	}
	value, err := strconv.Unquote(quoted)
	if err != nil || strings.Contains(value, "`") {
		return quoted
	}
	return "`" + value + "`"
}

// compile turns a parsed expression into a test.
func compile(tree any, example map[string]any) (test, error) {
	switch e := tree.(type) {
	case *grammar.UnaryExpression:
		inner, err := compile(e.Operand, example)
		return not(inner), err
	case *grammar.BinaryExpression:
		left, err := compile(e.Left, example)
		if err != nil {
			return nil, err
		}
		right, err := compile(e.Right, example)
		if e.Operator == grammar.BinaryOpAnd {
			return func(a map[string]any) bool { return left(a) && right(a) }, err
		}
		return func(a map[string]any) bool { return left(a) || right(a) }, err
	case *grammar.MatchExpression:
		return compileMatch(e, example)
	}
	return nil, errors.New("any and all are not supported")
}

func not(t test) test {
	return func(a map[string]any) bool { return !t(a) }
}

// compileMatch turns a comparison into a test. The operators that say "not" are
// the opposites of the others, for a missing key too.
func compileMatch(e *grammar.MatchExpression, example map[string]any) (test, error) {
	sample := lookUp(example, e.Selector.Path)
	if e.Selector.Type != grammar.SelectorTypeBexpr || sample == nil {
		return nil, fmt.Errorf("Selector %q is not valid", e.Selector)
	}
	isText := false
	switch v := sample.(type) {
	case string:
		isText = true
	case missing:
		isText = v.text
	}
	var ask func(value any) bool
	opposite := false
	switch e.Operator {
	case grammar.MatchEqual, grammar.MatchNotEqual:
		opposite = e.Operator == grammar.MatchNotEqual
		if isText {
			ask = func(v any) bool { s, ok := v.(string); return ok && s == e.Value.Raw }
		}
	case grammar.MatchMatches, grammar.MatchNotMatches:
		opposite = e.Operator == grammar.MatchNotMatches
		re, err := regexp.Compile(e.Value.Raw)
		if err != nil {
			return nil, err
		}
		if isText {
			ask = func(v any) bool { s, ok := v.(string); return ok && re.MatchString(s) }
		}
	case grammar.MatchIn, grammar.MatchNotIn, grammar.MatchContains, grammar.MatchNotContains:
		opposite = e.Operator == grammar.MatchNotIn || e.Operator == grammar.MatchNotContains
		ask = func(v any) bool { return contains(v, e.Value.Raw) }
	case grammar.MatchIsEmpty, grammar.MatchIsNotEmpty:
		opposite = e.Operator == grammar.MatchIsNotEmpty
		if !isText {
			ask = isEmpty
		}
	}
	if ask == nil {
		return nil, fmt.Errorf("Invalid match operator %q for selector %q", e.Operator, e.Selector)
	}
	t := func(a map[string]any) bool { return ask(lookUp(a, e.Selector.Path)) }
	if opposite {
		return not(t), nil
	}
	return t, nil
}

// missing stands for a key that a map does not have; text says what the map holds.
type missing struct{ text bool }

// lookUp returns the attribute at path: a value as Identity.Attributes lists
// them, missing for a key that a map lacks, and nil if there can be no such attribute.
func lookUp(attributes map[string]any, path []string) any {
	if len(path) == 0 {
		return nil
	}
	value := attributes[path[0]]
	if len(path) == 1 {
		return value
	}
	if len(path) > 2 {
		return nil
	}
	switch m := value.(type) {
	case map[string]string:
		if v, ok := m[path[1]]; ok {
			return v
		}
		return missing{text: true}
	case map[string][]string:
		if v, ok := m[path[1]]; ok {
			return v
		}
		return missing{}
	}
	return nil
}

func contains(value any, what string) bool {
	switch v := value.(type) {
	case string:
		return strings.Contains(v, what)
	case []string:
		return slices.Contains(v, what)
	case map[string]string:
		_, ok := v[what]
		return ok
	case map[string][]string:
		_, ok := v[what]
		return ok
	}
	return false
}

func isEmpty(value any) bool {
	switch v := value.(type) {
	case []string:
		return len(v) == 0
	case map[string]string:
		return len(v) == 0
	case map[string][]string:
		return len(v) == 0
	}
	return true
}
