package configentry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/lictor/lictor/internal/errs"
)

// maxDepth is how deep the objects and lists of an entry may nest.
const maxDepth = 32

// DecodeJSON is Decode for the text of an object. It refuses one that nests too deeply, that
// has a key twice, and that is followed by anything else.
func DecodeJSON(text []byte) (*Entry, error) {
	r := treeReader{json.NewDecoder(bytes.NewReader(text))}
	r.dec.UseNumber()
	tree, err := r.value(0)
	if err == nil {
		if _, end := r.dec.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("json: data after the value")
		}
	}
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "%w", err)
	}
	object, ok := tree.(map[string]any)
	if !ok {
		return nil, errs.New(errs.Invalid, "Payload is not an object")
	}
	return Decode(object)
}

// treeReader builds values from tokens: encoding/json alone lets a repeated key pass.
type treeReader struct{ dec *json.Decoder }

func (r treeReader) value(depth int) (any, error) {
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := token.(json.Delim)
	switch {
	case !ok:
		return token, nil
	case depth == maxDepth:
		return nil, fmt.Errorf("json: nested more than %d levels deep", maxDepth)
	case delim == '{':
		return r.object(depth + 1)
	}
	list := []any{}
	for r.dec.More() {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err = r.dec.Token()
	return list, err
}

func (r treeReader) object(depth int) (any, error) {
	object := map[string]any{}
	for r.dec.More() {
		token, err := r.dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string) // the decoder lets nothing else be one
		if _, twice := object[key]; twice {
			return nil, fmt.Errorf("json: duplicate key %q", key)
		}
		if object[key], err = r.value(depth); err != nil {
			return nil, err
		}
	}
	_, err := r.dec.Token()
	return object, err
}
