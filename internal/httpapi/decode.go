package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/lictor/lictor/internal/errs"
)

// maxDepth is how deep objects and arrays of a body may nest. Nothing that a
// client sends comes near it.
const maxDepth = 32

// decodeJSON decodes data, one JSON value, into v. It refuses what would let
// two readers of the same text disagree: fields that v does not have, keys that
// an object has twice (in whatever capitals, as field names match in any), and
// anything after the value. The error is of kind errs.Invalid and reads
// "<what>: <reason>"; the reason is "EOF" for an empty body (acl.md section 1).
func decodeJSON(what string, data []byte, v any) error {
	var shape error
	if !plain(data) {
		shape = checkShape(data)
	}
	if shape == nil || isSyntax(shape) {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(v); err != nil {
			return errs.Errorf(errs.Invalid, "%s: %w", what, err)
		}
	}
	if shape != nil {
		return errs.Errorf(errs.Invalid, "%s: %w", what, shape)
	}
	return nil
}

// isSyntax reports whether err says that a text is no JSON. The decoder says
// it too, in the words that clients know.
func isSyntax(err error) bool {
	var syntax *json.SyntaxError
	return errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// container is an object or an array that is open while a text is walked.
type container struct {
	keys    map[string]bool // folded; nil for an array
	wantKey bool            // the next token is a key, or the end
}

// checkShape walks data without building anything from it and without recursion.
func checkShape(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var open []container
	for {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		top := len(open) - 1
		delim, isDelim := token.(json.Delim)
		switch {
		case delim == '}' || delim == ']':
			open = open[:top]
		case top >= 0 && open[top].wantKey:
			if err := open[top].add(token); err != nil {
				return err
			}
			continue
		default:
			if top >= 0 {
				open[top].wantKey = open[top].keys != nil
			}
			if isDelim {
				open = append(open, newContainer(delim))
			}
		}
		if len(open) > maxDepth {
			return fmt.Errorf("json: nested more than %d levels deep", maxDepth)
		}
		if len(open) == 0 {
			return checkEnd(dec)
		}
	}
}

func newContainer(delim json.Delim) container {
	if delim == '[' {
		return container{}
	}
	return container{keys: map[string]bool{}, wantKey: true}
}

func (c *container) add(token json.Token) error {
	key, _ := token.(string)
	folded := foldKey(key)
	if c.keys[folded] {
		return fmt.Errorf("json: duplicate key %q", key)
	}
	c.keys[folded] = true
	c.wantKey = false
	return nil
}

func checkEnd(dec *json.Decoder) error {
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("json: data after the value")
	}
	return nil
}

// foldKey returns the same text for all keys that encoding/json takes for the
// same field.
func foldKey(key string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, key)
}
