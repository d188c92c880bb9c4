package config

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxFileBytes = 1 << 20
	maxDepth     = 64 // of nested objects and lists
)

// object is one level of a parsed file, whatever its format. Its values are string, bool,
// int64, float64, []any, *object and, for an HCL block that is written several times, blocks.
type object struct {
	keys []string // in the order of the file
	at   map[string]any
}

// blocks are the objects of one key, in the order of the file.
type blocks []*object

func newObject() *object { return &object{at: map[string]any{}} }

func (o *object) set(key string, v any) {
	if _, ok := o.at[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.at[key] = v
}

// problems are the things wrong with a configuration, in the layout that operators know:
// a count, a line for each, and a blank line (spec: agent.md section 6).
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

// Error implements error.
func (p problems) Error() string {
	head := fmt.Sprintf("%d errors occurred:", len(p))
	if len(p) == 1 {
		head = "1 error occurred:"
	}
	return head + "\n\t* " + strings.Join(p, "\n\t* ") + "\n\n"
}

// err returns p as an error, or nil if there are none.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// wrongTypes are values of the wrong type, in the layout that operators know for those.
type wrongTypes []string

// Error implements error.
func (w wrongTypes) Error() string {
	lines := slices.Sorted(slices.Values(w))
	return fmt.Sprintf("%d error(s) decoding:\n\n* %s", len(w), strings.Join(lines, "\n* "))
}

// join returns the dotted name of key inside the level named prefix.
func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}
