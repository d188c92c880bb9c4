package filter

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/hashicorp/go-bexpr/grammar"
)

// question is asked of the value at a selector. It has to bear a value that is
// missing (the zero Value) or of another kind than the example's.
type question func(v reflect.Value) bool

// compileMatch turns a comparison into a test. The operators that say "not" are
// the opposites of the others, for a missing key too.
func compileMatch(e *grammar.MatchExpression, example reflect.Value) (test, error) {
	if e.Selector.Type != grammar.SelectorTypeBexpr {
		return nil, fmt.Errorf("Selector %q is not valid", e.Selector)
	}
	steps, t, ok := resolve(example, e.Selector.Path)
	if !ok {
		return nil, fmt.Errorf("Selector %q is not valid", e.Selector)
	}
	ask, opposite, err := questionOf(e, t)
	if err != nil {
		return nil, err
	}
	if ask == nil {
		return nil, fmt.Errorf("Invalid match operator %q for selector %q", e.Operator, e.Selector)
	}
	verdict := func(v reflect.Value) bool { return ask(v) != opposite }
	return func(root reflect.Value) bool { return walk(root, steps, verdict) }, nil
}

// questionOf returns what e asks of a value of type t, and whether the opposite
// is meant. The question is nil where the operator does not fit the type.
func questionOf(e *grammar.MatchExpression, t reflect.Type) (ask question, opposite bool, err error) {
	switch e.Operator {
	case grammar.MatchEqual, grammar.MatchNotEqual:
		ask, err = equals(e.Value.Raw, t)
		return ask, e.Operator == grammar.MatchNotEqual, err
	case grammar.MatchMatches, grammar.MatchNotMatches:
		re, err := regexp.Compile(e.Value.Raw)
		if err != nil || t.Kind() != reflect.String {
			return nil, false, err
		}
		ask = func(v reflect.Value) bool { return v.Kind() == reflect.String && re.MatchString(v.String()) }
		return ask, e.Operator == grammar.MatchNotMatches, nil
	case grammar.MatchIn, grammar.MatchNotIn, grammar.MatchContains, grammar.MatchNotContains:
		if t.Kind() == reflect.String || t.Kind() == reflect.Map || isTexts(t) {
			ask = func(v reflect.Value) bool { return contains(v, e.Value.Raw) }
		}
		return ask, e.Operator == grammar.MatchNotIn || e.Operator == grammar.MatchNotContains, nil
	case grammar.MatchIsEmpty, grammar.MatchIsNotEmpty:
		if t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
			ask = isEmpty
		}
		return ask, e.Operator == grammar.MatchIsNotEmpty, nil
	}
	return nil, false, nil
}

// equals asks whether a text, a number or a truth value is what raw says.
func equals(raw string, t reflect.Type) (question, error) {
	switch t.Kind() {
	case reflect.String:
		return func(v reflect.Value) bool { return v.Kind() == reflect.String && v.String() == raw }, nil
	case reflect.Int:
		n, err := strconv.Atoi(raw)
		return func(v reflect.Value) bool { return v.Kind() == reflect.Int && v.Int() == int64(n) }, err
	case reflect.Bool:
		b, err := strconv.ParseBool(raw)
		return func(v reflect.Value) bool { return v.Kind() == reflect.Bool && v.Bool() == b }, err
	}
	return nil, nil
}

func isTexts(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String
}

// contains reports whether a text has what in it, a list has the element, or a map the key.
func contains(v reflect.Value, what string) bool {
	switch v.Kind() {
	case reflect.String:
		return strings.Contains(v.String(), what)
	case reflect.Slice:
		if !isTexts(v.Type()) {
			return false
		}
		for i := range v.Len() {
			if v.Index(i).String() == what {
				return true
			}
		}
	case reflect.Map:
		return v.Type().Key().Kind() == reflect.String && v.MapIndex(keyOf(v, what)).IsValid()
	}
	return false
}

func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	}
	return true
}

// keyOf returns a key of the map m.
func keyOf(m reflect.Value, key string) reflect.Value {
	return reflect.ValueOf(key).Convert(m.Type().Key())
}
