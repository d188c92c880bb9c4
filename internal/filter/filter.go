// Package filter evaluates the boolean expressions of ?filter= and of auth
// methods' selectors over Go values (spec: catalog.md section 1.5,
// authmethods.md section 6.2). The text may be hostile: its length and the work of parsing
// it are bounded.
package filter

import (
	"errors"
	"reflect"
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr/grammar"

	"github.com/lictor/lictor/internal/errs"
)

// Limits on an expression. The library's parser backtracks: each level of
// parentheses multiplies its work, so the number of steps is what bounds it. They suffice for
// five levels, and for thousands of bytes without any.
const (
	maxBytes = 4096
	maxSteps = 500_000
)

// Filter is an expression, ready to be asked. The zero Filter matches
// everything. It is safe for concurrent use.
type Filter struct{ test test }

// test is an expression or a part of one.
type test func(root reflect.Value) bool

// Parse reads an expression of at most 4096 bytes and checks it against the type of example:
// a struct, whose fields have the names of its JSON, or a map[string]any,
// whose keys and types of values count. Empty text matches everything. It returns
// errs.Invalid, in the words of the API, for what does not parse, for a selector that example
// lacks, and for an operator that does not fit.
func Parse(text string, example any) (Filter, error) {
	f, err := Compile(text, example)
	if err != nil {
		err = errs.Errorf(errs.Invalid, "Failed to create boolean expression evaluator: %w", err)
	}
	return f, err
}

// Compile is Parse with the reason alone as the error's text.
func Compile(text string, example any) (f Filter, err error) {
	if text == "" {
		return Filter{}, nil
	}
	if len(text) > maxBytes {
		return Filter{}, errs.Errorf(errs.Invalid, "the expression is longer than %d bytes", maxBytes)
	}
	defer func() {
		if r := recover(); r != nil {
			f, err = Filter{}, errs.Errorf(errs.Invalid, "cannot parse the expression: %v", r)
		}
	}()
	tree, err := grammar.Parse("", []byte(plainLiterals(text)), grammar.MaxExpressions(maxSteps))
	if err != nil {
		if strings.Contains(err.Error(), "max number of expressions") {
			err = errors.New("the expression is nested too deeply")
		}
		return Filter{}, errs.Errorf(errs.Invalid, "%w", err)
	}
	t, err := compile(tree, reflect.ValueOf(example))
	if err != nil {
		return Filter{}, errs.Errorf(errs.Invalid, "%w", err)
	}
	return Filter{t}, nil
}

// All reports whether f is the zero Filter.
func (f Filter) All() bool { return f.test == nil }

// Match reports whether v matches: a value of the example's type or a pointer to
// one. Nothing equals a key that a map lacks; of a list, one element that matches suffices.
func (f Filter) Match(v any) bool {
	return f.test == nil || f.test(reflect.ValueOf(v))
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
func compile(tree any, example reflect.Value) (test, error) {
	switch e := tree.(type) {
	case *grammar.UnaryExpression:
		inner, err := compile(e.Operand, example)
		return func(v reflect.Value) bool { return !inner(v) }, err
	case *grammar.BinaryExpression:
		left, err := compile(e.Left, example)
		if err != nil {
			return nil, err
		}
		right, err := compile(e.Right, example)
		if e.Operator == grammar.BinaryOpAnd {
			return func(v reflect.Value) bool { return left(v) && right(v) }, err
		}
		return func(v reflect.Value) bool { return left(v) || right(v) }, err
	case *grammar.MatchExpression:
		return compileMatch(e, example)
	}
	return nil, errors.New("any and all are not supported")
}
