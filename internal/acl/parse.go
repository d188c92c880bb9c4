package acl

import (
	"strings"
	"unicode/utf8"

	"github.com/lictor/lictor/internal/errs"
)

// Bounds on a rule document, checked before or while it is parsed.
const (
	MaxRulesBytes   = 64 << 10 // of text
	MaxRulesNesting = 8        // objects inside each other
	MaxRules        = 2048     // rules and blocks in one document
)

const space = " \t\r\n"

// position is a place in the text: line and column from 1, in characters.
type position struct{ line, col int }

// value is what stands behind a key: a string, an object, or something else
// that no rule takes (a number, a boolean).
type value struct {
	at    position
	kind  valueKind
	text  string // of a string, or as it was written
	items []item // of an object
}

type valueKind uint8

const (
	otherValue valueKind = iota
	stringValue
	objectValue
)

// item is one entry of an object. HCL allows several keys (service "web" {…});
// JSON has one. Assigned tells key = value from a block.
type item struct {
	keys     []key
	assigned bool
	value    value
}

type key struct {
	at   position
	text string
}

// parseItems returns the entries of a document, HCL or JSON. A document whose
// first character is a brace is JSON.
func parseItems(text string) ([]item, error) {
	if len(text) > MaxRulesBytes {
		return nil, errs.Errorf(errs.Invalid, "Failed to parse ACL rules: the text has %d bytes, more than %d", len(text), MaxRulesBytes)
	}
	if !utf8.ValidString(text) {
		return nil, errs.New(errs.Invalid, "Failed to parse ACL rules: the text is not valid UTF-8")
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune(space, r) }); i >= 0 {
		return nil, errs.Errorf(errs.Invalid, "Failed to parse ACL rules: the text has a control character at byte %d", i)
	}
	c := &cursor{text: text, at: position{1, 1}}
	c.skipSpace()
	if c.is('{') {
		return (&jsonParser{c}).document()
	}
	return (&hclParser{c}).document()
}

// cursor reads a text forwards and knows its position.
type cursor struct {
	text  string
	off   int
	at    position
	depth int // of the objects entered
}

func (c *cursor) done() bool            { return c.off >= len(c.text) }
func (c *cursor) rest() string          { return c.text[c.off:] }
func (c *cursor) is(b byte) bool        { return !c.done() && c.text[c.off] == b }
func (c *cursor) starts(s string) bool  { return strings.HasPrefix(c.rest(), s) }
func (c *cursor) since(from int) string { return c.text[from:c.off] }

// skip moves n bytes forward.
func (c *cursor) skip(n int) {
	for _, r := range c.text[c.off : c.off+n] {
		if r == '\n' {
			c.at = position{c.at.line + 1, 1}
		} else {
			c.at.col++
		}
	}
	c.off += n
}

// skipWhile moves over the bytes that in accepts.
func (c *cursor) skipWhile(in func(byte) bool) {
	n := 0
	for n < len(c.rest()) && in(c.rest()[n]) {
		n++
	}
	c.skip(n)
}

func (c *cursor) skipSpace() {
	c.skipWhile(func(b byte) bool { return strings.IndexByte(space, b) >= 0 })
}

// found describes what stands at the cursor, for errors.
func (c *cursor) found() string {
	if c.done() {
		return "EOF"
	}
	r, _ := utf8.DecodeRuneInString(c.rest())
	return string(r)
}

// enter counts an object that begins and refuses one too deep.
func (c *cursor) enter() error {
	c.depth++
	if c.depth > MaxRulesNesting {
		return syntaxError(c.at, "objects are nested deeper than %d", MaxRulesNesting)
	}
	return nil
}

func (c *cursor) leave() { c.depth-- }

// quoted reads a string in double quotes and returns it raw, quotes included.
// A string ends on the line it begins on and holds no control characters.
func (c *cursor) quoted() (string, error) {
	rest := c.rest()
	for i := 1; i < len(rest); i++ {
		switch b := rest[i]; {
		case b == '"':
			c.skip(i + 1)
			return rest[:i+1], nil
		case b == '\\':
			i++
		case b < ' ' && b != '\t':
			return "", syntaxError(c.at, "string is not terminated")
		}
	}
	return "", syntaxError(c.at, "string is not terminated")
}

// syntaxError is an error at a position in the form that clients know from the
// original (acl.md section 5).
func syntaxError(at position, format string, args ...any) error {
	return errs.Errorf(errs.Invalid, "Failed to parse ACL rules: At %d:%d: "+format, append([]any{at.line, at.col}, args...)...)
}
