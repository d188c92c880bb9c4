package authmethod

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/lictor/lictor/internal/errs"
)

// maxTemplate bounds the text of a template and of its result, in bytes.
const maxTemplate = 4096

// Template is text with ${variable} in it; $${ stands for a plain ${. There are no
// functions, and a name may hold dots and hyphens (authmethods.md section 6.1).
type Template struct{ parts []templatePart }

// templatePart is literal text or, if variable is not empty, a variable.
type templatePart struct {
	text     string
	variable string
	at       string // line:column of the variable, for errors
}

// ParseTemplate reads a template of at most 4096 bytes. It returns errs.Invalid
// with line and column of what it could not read.
func ParseTemplate(text string) (Template, error) {
	if len(text) > maxTemplate {
		return Template{}, errs.Errorf(errs.Invalid, "parse error: template is longer than %d bytes", maxTemplate)
	}
	p := templateParser{text: text}
	return p.parse()
}

// Execute fills in the variables. It returns errs.Invalid if one is unknown or
// the result exceeds 4096 bytes.
func (t Template) Execute(variables map[string]string) (string, error) {
	var out strings.Builder
	for _, p := range t.parts {
		text := p.text
		if p.variable != "" {
			value, ok := variables[p.variable]
			if !ok {
				return "", errs.Errorf(errs.Invalid, "%s: unknown variable accessed: %s", p.at, p.variable)
			}
			text = value
		}
		if out.Len()+len(text) > maxTemplate {
			return "", errs.Errorf(errs.Invalid, "the result is longer than %d bytes", maxTemplate)
		}
		out.WriteString(text)
	}
	return out.String(), nil
}

func interpolate(template string, id Identity) (string, error) {
	t, err := ParseTemplate(template)
	if err != nil {
		return "", err
	}
	return t.Execute(id.Variables)
}

type templateParser struct {
	text string
	pos  int // of the next byte
}

func (p *templateParser) parse() (Template, error) {
	var t Template
	var literal strings.Builder
	for p.pos < len(p.text) {
		rest := p.text[p.pos:]
		switch {
		case strings.HasPrefix(rest, "$${"):
			literal.WriteString("${")
			p.pos += len("$${")
		case strings.HasPrefix(rest, "${"):
			p.pos += len("${")
			part, err := p.variable()
			if err != nil {
				return Template{}, err
			}
			t.parts = append(t.parts, templatePart{text: literal.String()}, part)
			literal.Reset()
		default:
			literal.WriteByte(rest[0])
			p.pos++
		}
	}
	t.parts = append(t.parts, templatePart{text: literal.String()})
	return t, nil
}

// variable reads what follows "${", up to and with "}".
func (p *templateParser) variable() (templatePart, error) {
	p.skipSpace()
	start := p.pos
	part := templatePart{at: p.place()}
	for p.pos < len(p.text) && isVariableByte(p.text[p.pos]) {
		p.pos++
	}
	part.variable = p.text[start:p.pos]
	if part.variable == "" {
		return part, p.unexpected("a variable")
	}
	p.skipSpace()
	switch {
	case p.pos < len(p.text) && p.text[p.pos] == '(':
		return part, errs.Errorf(errs.Invalid, "%s: unknown function called: %s", part.at, part.variable)
	case p.pos == len(p.text) || p.text[p.pos] != '}':
		return part, p.unexpected(`"}"`)
	}
	p.pos++
	return part, nil
}

func (p *templateParser) skipSpace() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// place returns the position as line:column, both from 1, columns in runes.
func (p *templateParser) place() string {
	before := p.text[:p.pos]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return fmt.Sprintf("%d:%d", line, column)
}

func (p *templateParser) unexpected(wanted string) error {
	found := "end of string"
	if p.pos < len(p.text) {
		r, _ := utf8.DecodeRuneInString(p.text[p.pos:])
		found = fmt.Sprintf("%q", string(r))
	}
	return errs.Errorf(errs.Invalid, "parse error at %s: expected %s but found %s", p.place(), wanted, found)
}

func isVariableByte(c byte) bool { return isWord(c) || c == '.' || c == '-' }
