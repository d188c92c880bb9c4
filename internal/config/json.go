package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// parseJSON reads text as one JSON object; a file without text says nothing. encoding/json alone
// would let a repeated key pass.
func parseJSON(text []byte) (*object, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return newObject(), nil
	}
	r := jsonReader{dec: json.NewDecoder(bytes.NewReader(text))}
	v, err := r.value("", 0)
	if err == nil {
		if _, err = r.dec.Token(); err == nil {
			err = errors.New("there is more text after the object")
		} else if err == io.EOF {
			err = nil
		}
	} else if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		at := text[:min(int(r.dec.InputOffset()), len(text))]
		return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(at, []byte("\n")), err)
	}
	obj, ok := v.(*object)
	if !ok {
		return nil, errors.New("the file is not a JSON object")
	}
	return obj, r.dup.err()
}

type jsonReader struct {
	dec *json.Decoder
	dup problems
}

// value reads one value, which is named name in errors.
func (r *jsonReader) value(name string, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d levels deep", maxDepth)
	}
	t, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		return r.object(name, depth)
	case json.Delim('['):
		list := []any{}
		for r.dec.More() {
			v, err := r.value(fmt.Sprintf("%s[%d]", name, len(list)), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := r.dec.Token()
		return list, err
	}
	return t, nil
}

func (r *jsonReader) object(prefix string, depth int) (any, error) {
	obj := newObject()
	for r.dec.More() {
		t, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key, ok := t.(string)
		if !ok {
			return nil, fmt.Errorf("unexpected %v in place of a key", t)
		}
		if _, again := obj.at[key]; again {
			r.dup.add("duplicate config key %s", join(prefix, key))
		}
		v, err := r.value(join(prefix, key), depth+1)
		if err != nil {
			return nil, err
		}
		obj.set(key, v)
	}
	_, err := r.dec.Token()
	return obj, err
}
