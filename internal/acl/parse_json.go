package acl

import (
	"encoding/json"
	"strings"
)

// jsonParser reads the JSON form of rules. An array of objects stands for their
// entries together, as converters from HCL write it; other arrays are refused.
type jsonParser struct{ *cursor }

func (p *jsonParser) document() ([]item, error) {
	v, err := p.object()
	if err != nil {
		return nil, err
	}
	if p.skipSpace(); !p.done() {
		return nil, syntaxError(p.at, "unexpected %q after the document", p.found())
	}
	return v.items, nil
}

// object reads an object; the cursor stands on its opening brace.
func (p *jsonParser) object() (value, error) {
	v := value{at: p.at, kind: objectValue}
	if err := p.enter(); err != nil {
		return v, err
	}
	defer p.leave()
	p.skip(1)
	for p.skipSpace(); !p.is('}'); p.skipSpace() {
		if len(v.items) > 0 {
			if !p.is(',') {
				return v, syntaxError(p.at, "object expected closing RBRACE got: %s", p.found())
			}
			p.skip(1)
			p.skipSpace()
		}
		it, err := p.member()
		if err != nil {
			return v, err
		}
		v.items = append(v.items, it)
	}
	p.skip(1)
	return v, nil
}

func (p *jsonParser) member() (item, error) {
	k := key{at: p.at}
	if !p.is('"') {
		return item{}, syntaxError(p.at, "expected a key in quotes got: %s", p.found())
	}
	var err error
	if k.text, err = p.str(); err != nil {
		return item{}, err
	}
	if p.skipSpace(); !p.is(':') {
		return item{}, syntaxError(p.at, "expected ':' after key %q got: %s", k.text, p.found())
	}
	p.skip(1)
	p.skipSpace()
	v, err := p.value()
	return item{keys: []key{k}, assigned: true, value: v}, err
}

func (p *jsonParser) value() (value, error) {
	v := value{at: p.at}
	switch {
	case p.is('{'):
		return p.object()
	case p.is('['):
		return p.array()
	case p.is('"'):
		text, err := p.str()
		v.kind, v.text = stringValue, text
		return v, err
	}
	from := p.off
	p.skipWhile(func(b byte) bool { return isWordByte(b) || b == '+' })
	if v.text = p.since(from); !json.Valid([]byte(v.text)) {
		return v, syntaxError(v.at, "expected a value got: %s", p.found())
	}
	return v, nil
}

func (p *jsonParser) array() (value, error) {
	all := value{at: p.at, kind: objectValue}
	p.skip(1)
	for n := 0; ; n++ {
		p.skipSpace()
		if p.is(']') {
			p.skip(1)
			return all, nil
		}
		if n > 0 {
			if !p.is(',') {
				return all, syntaxError(p.at, "expected ',' or ']' in a list got: %s", p.found())
			}
			p.skip(1)
			p.skipSpace()
		}
		if !p.is('{') {
			return all, syntaxError(p.at, "lists hold objects only, got: %s", p.found())
		}
		v, err := p.object()
		if err != nil {
			return all, err
		}
		all.items = append(all.items, v.items...)
	}
}

// str reads a string; the cursor stands on its quote.
func (p *jsonParser) str() (string, error) {
	at := p.at
	raw, err := p.quoted()
	if err != nil {
		return "", err
	}
	var text string
	if err := json.Unmarshal([]byte(raw), &text); err != nil || strings.Contains(text, "\uFFFD") {
		return "", syntaxError(at, "invalid string %s", raw)
	}
	return text, nil
}
