package operator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// object is a JSON object that keeps the order of its members, and the text of those that nobody
// changed: a file that somebody wrote comes back as they know it.
type object []member

type member struct {
	key   string
	value json.RawMessage
}

// UnmarshalJSON reads an object. A key that is there twice is an error.
func (o *object) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return fmt.Errorf("%.20q is not an object", text)
	}
	*o = object{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		m := member{}
		m.key, _ = token.(string) // of an object, a key always is
		if err := dec.Decode(&m.value); err != nil {
			return err
		}
		if o.index(m.key) >= 0 {
			return fmt.Errorf("%s: given twice", m.key)
		}
		*o = append(*o, m)
	}
	return nil
}

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(rawJSON(m.key))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (o object) index(key string) int {
	return slices.IndexFunc(o, func(m member) bool { return m.key == key })
}

// has reports whether key is there and not null.
func (o object) has(key string) bool {
	i := o.index(key)
	return i >= 0 && string(o[i].value) != "null"
}

// get decodes the value of key into v, which stays as it is if there is none.
func (o object) get(key string, v any) error {
	if !o.has(key) {
		return nil
	}
	if err := json.Unmarshal(o[o.index(key)].value, v); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// set gives key a value, at its place or at the end.
func (o *object) set(key string, v any) {
	if i := o.index(key); i >= 0 {
		(*o)[i].value = rawJSON(v)
		return
	}
	*o = append(*o, member{key, rawJSON(v)})
}

func (o *object) remove(keys ...string) {
	*o = slices.DeleteFunc(*o, func(m member) bool { return slices.Contains(keys, m.key) })
}

// text returns the string at key, "" if there is none.
func (o object) text(key string) string {
	var s string
	_ = o.get(key, &s) // what is no string names nothing
	return s
}

// rawJSON is v as JSON in which < > & stand for themselves. v is of this package and can be encoded.
func rawJSON(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("encoding %T: %v", v, err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
