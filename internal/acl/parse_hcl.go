package acl

import (
	"cmp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// hclParser reads the part of HCL 1 that rules use, straight from the text:
//
//	document = { entry [","] }
//	entry    = word "=" value | word { word } block
//	word     = identifier | string
//	value    = block | "[" { block [","] } "]" | string | here-document | number | boolean
//	block    = "{" { entry [","] } "}"
//
// Strings have HCL's escapes; ${…} is refused, because HCL reads quotes and
// escapes inside it otherwise.
type hclParser struct{ *cursor }

func (p *hclParser) document() ([]item, error) { return p.entries(p.done) }

// entries reads until end holds.
func (p *hclParser) entries(end func() bool) ([]item, error) {
	var items []item
	for {
		if err := p.skipBlank(); err != nil {
			return nil, err
		}
		if end() {
			return items, nil
		}
		it, err := p.entry()
		if err != nil {
			return nil, err
		}
		items = append(items, it)
		if _, err := p.comma(); err != nil {
			return nil, err
		}
	}
}

func (p *hclParser) entry() (it item, err error) {
	if it.keys, err = p.words(); err != nil {
		return it, err
	}
	switch {
	case len(it.keys) == 0:
		return it, syntaxError(p.at, "expected a word got: %s", p.found())
	case p.is('{'):
		it.value, err = p.block()
	case !p.is('='):
		err = syntaxError(p.at, "expected '{' or '=' after %s got: %s", joinKeys(it.keys), p.found())
	case len(it.keys) > 1:
		err = syntaxError(p.at, "a block with a label takes no '=': %s \"…\" { … }", it.keys[0].text)
	default:
		p.skip(1)
		it.assigned = true
		it.value, err = p.value()
	}
	return it, err
}

// words reads the words that an entry begins with, and what is blank after them.
func (p *hclParser) words() ([]key, error) {
	var words []key
	for p.is('"') || p.startsIdentifier() {
		word := key{at: p.at}
		var err error
		if p.is('"') {
			word.text, err = p.str()
		} else {
			word.text = p.identifier()
		}
		if err == nil {
			err = p.skipBlank()
		}
		if err != nil {
			return nil, err
		}
		words = append(words, word)
	}
	return words, nil
}

func (p *hclParser) value() (value, error) {
	if err := p.skipBlank(); err != nil {
		return value{}, err
	}
	v := value{at: p.at}
	var err error
	switch {
	case p.is('{'):
		return p.block()
	case p.is('['):
		return p.blocks()
	case p.is('"'):
		v.kind = stringValue
		v.text, err = p.str()
		return v, err
	case p.starts("<<"):
		v.kind = stringValue
		v.text, err = p.hereDoc()
		return v, err
	}
	from := p.off
	p.skipWhile(isWordByte)
	v.text = p.since(from)
	if _, err := strconv.ParseFloat(v.text, 64); err != nil && v.text != "true" && v.text != "false" {
		return v, syntaxError(v.at, "expected a string in quotes got: %s", cmp.Or(v.text, p.found()))
	}
	return v, nil
}

// block reads what is in braces; the cursor stands on the first.
func (p *hclParser) block() (value, error) {
	v := value{at: p.at, kind: objectValue}
	if err := p.enter(); err != nil {
		return v, err
	}
	defer p.leave()
	p.skip(1)
	var err error
	if v.items, err = p.entries(func() bool { return p.done() || p.is('}') }); err != nil {
		return v, err
	}
	if p.done() { // the text that clients know (acl.md section 5)
		return v, syntaxError(p.at, "object expected closing RBRACE got: EOF")
	}
	p.skip(1)
	return v, nil
}

// blocks reads a list of blocks and returns their entries together.
func (p *hclParser) blocks() (value, error) {
	all := value{at: p.at, kind: objectValue}
	p.skip(1)
	for {
		if err := p.skipBlank(); err != nil {
			return all, err
		}
		if p.is(']') {
			p.skip(1)
			return all, nil
		}
		if !p.is('{') {
			return all, syntaxError(p.at, "lists hold objects only, got: %s", p.found())
		}
		v, err := p.block()
		if err != nil {
			return all, err
		}
		all.items = append(all.items, v.items...)
		if more, err := p.comma(); err != nil {
			return all, err
		} else if !more && !p.is(']') {
			return all, syntaxError(p.at, "expected ',' or ']' in a list got: %s", p.found())
		}
	}
}

// comma moves over what is blank and a comma, and reports whether there was one.
func (p *hclParser) comma() (bool, error) {
	if err := p.skipBlank(); err != nil || !p.is(',') {
		return false, err
	}
	p.skip(1)
	return true, nil
}

// str reads a string; the cursor stands on its quote.
func (p *hclParser) str() (string, error) {
	at := p.at
	raw, err := p.quoted()
	if err != nil {
		return "", err
	}
	if strings.Contains(raw, "${") {
		return "", syntaxError(at, "interpolation is not allowed in %s", raw)
	}
	text, err := strconv.Unquote(raw)
	if err != nil || !utf8.ValidString(text) {
		return "", syntaxError(at, "invalid string %s", raw)
	}
	return text, nil
}

// hereDoc reads <<MARK, lines, MARK and returns the lines. After <<- the last
// MARK has to be indented.
func (p *hclParser) hereDoc() (string, error) {
	at := p.at
	p.skip(len("<<"))
	indented := p.is('-')
	if indented {
		p.skip(1)
	}
	mark := p.identifier()
	if mark == "" || !p.is('\n') && !p.starts("\r\n") {
		return "", syntaxError(at, "here-document without a marker")
	}
	p.skip(strings.IndexByte(p.rest(), '\n') + 1)
	var body strings.Builder
	for !p.done() {
		line, _, _ := strings.Cut(p.rest(), "\n")
		end := strings.TrimSuffix(line, "\r")
		if indented {
			end = strings.TrimLeft(end, " \t")
		}
		if end == mark {
			if indented && end == strings.TrimSuffix(line, "\r") { // HCL reads on to one that is indented
				return "", syntaxError(p.at, "the end of a here-document that begins with <<- has to be indented")
			}
			p.skip(len(line))
			return body.String(), nil
		}
		p.skip(min(len(line)+1, len(p.rest())))
		body.WriteString(line + "\n")
	}
	return "", syntaxError(at, "here-document is not terminated")
}

func (p *hclParser) startsIdentifier() bool {
	r, _ := utf8.DecodeRuneInString(p.rest())
	return r == '_' || unicode.IsLetter(r)
}

func (p *hclParser) identifier() string {
	from := p.off
	for !p.done() {
		r, n := utf8.DecodeRuneInString(p.rest())
		if !strings.ContainsRune("_-.", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		p.skip(n)
	}
	return p.since(from)
}

// skipBlank moves over white space and comments.
func (p *hclParser) skipBlank() error {
	for {
		p.skipSpace()
		switch {
		case p.is('#') || p.starts("//"):
			p.skipWhile(func(b byte) bool { return b != '\n' })
		case p.starts("/*"):
			end := strings.Index(p.rest()[2:], "*/")
			if end < 0 {
				return syntaxError(p.at, "comment is not terminated")
			}
			p.skip(end + len("/**/"))
		default:
			return nil
		}
	}
}

// isWordByte accepts what numbers and booleans are made of.
func isWordByte(b byte) bool {
	return b == '-' || b == '.' || b == '_' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z'
}

func joinKeys(keys []key) string {
	words := make([]string, len(keys))
	for i, k := range keys {
		words[i] = k.text
	}
	return strings.Join(words, " ")
}
