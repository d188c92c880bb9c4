package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// decodeAnyCase is decode for a body whose keys may be in snake_case too, as
// configuration files write them.
func (r *request) decodeAnyCase(what string, v any) error {
	data, err := r.readBody()
	if err != nil {
		return err
	}
	if data, err = camelCase(data, v); err != nil {
		return errs.Errorf(errs.Invalid, "%s: %w", what, err)
	}
	return decodeJSON(what, data, v)
}

// camelCase returns a JSON text with the keys that v has under another spelling
// spelled as v does. Keys of free-form data stay. A text that is no JSON is returned as it is.
func camelCase(data []byte, v any) ([]byte, error) {
	if checkShape(data) != nil {
		return data, nil // decodeJSON says what is wrong with it
	}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	tree, err := respell(tree, reflect.TypeOf(v))
	if err != nil {
		return nil, err
	}
	return json.Marshal(tree)
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// respell does so for a decoded value that belongs into a t. Its depth is bounded by checkShape.
func respell(value any, t reflect.Type) (any, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var err error
	switch value := value.(type) {
	case []any:
		if t.Kind() == reflect.Slice {
			for n := range value {
				if value[n], err = respell(value[n], t.Elem()); err != nil {
					return nil, err
				}
			}
		}
	case map[string]any:
		switch {
		case t.Kind() == reflect.Map:
			for key := range value {
				if value[key], err = respell(value[key], t.Elem()); err != nil {
					return nil, err
				}
			}
		case t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(unmarshaler):
			return respellKeys(value, t)
		}
	}
	return value, nil
}

func respellKeys(object map[string]any, t reflect.Type) (any, error) {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		if f.IsExported() && !f.Anonymous {
			fields[foldKey(f.Name)] = f
		}
	}
	out := make(map[string]any, len(object))
	for key, value := range object {
		name := key
		if f, known := fields[foldKey(strings.ReplaceAll(key, "_", ""))]; known {
			name = f.Name
			var err error
			if value, err = respell(value, f.Type); err != nil {
				return nil, err
			}
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("json: duplicate key %q", key)
		}
		out[name] = value
	}
	return out, nil
}
