package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
)

// field is one setting: a line of the table that reading, merging, flags and the reference
// page are made from.
type field struct {
	key     string // dotted; [*] stands for a label
	kind    kind
	flag    string // without the dash; empty if there is none
	def     string // the default, as the flag would have it
	defNote string // for the reference page, where the default depends on something
	note    string // what it means, for the flag's usage and the reference page
	effect  effect
	address address // how a value that holds addresses is expanded

	into   func(*daemon.Config) any    // where the value goes: a pointer, or several as []any
	inSink func(*daemon.AuditSink) any // for the fields of audit.sink[*]

	defines reflect.Type // of objects: the struct that each of them becomes; nil leaves them as they are

	now     string              // a deprecated key: the key that replaces it, or "-" for none
	convert func(string) string // from the deprecated key's values to the new one's; may be nil
}

// kind is the type of a setting, which also says how two files' values merge.
type kind uint8

const (
	text     kind = iota // the later value wins, as for the next four
	boolean              //
	integer              //
	number               //
	duration             // Go's syntax, in a string
	list                 // of strings; appended
	table                // of strings by name; merged name by name
	objects              // opaque objects, a list or repeated blocks; appended
	opaque               // any object; merged key by key
)

var kindNames = [...]string{"string", "bool", "int", "float", "duration", "list", "map", "list of objects", "object"}

func (k kind) String() string { return kindNames[k] }

// effect is what a setting does in this release.
type effect uint8

const (
	acts  effect = iota
	idle         // accepted; the agent names it once in its log
	inert        // accepted with a warning: somebody may rely on it for protection
)

// secret reports whether the value must not appear in messages.
func (f *field) secret() bool {
	if f.into == nil {
		return strings.Contains(f.key, "token") || strings.Contains(f.key, "secret")
	}
	_, ok := f.into(&daemon.Config{}).(*logging.Secret)
	return ok
}

// parse reads a value as a flag or a default gives it.
func (f *field) parse(s string) (any, error) {
	switch f.kind {
	case text:
		return s, nil
	case duration:
		_, err := time.ParseDuration(s)
		return s, err
	case boolean:
		return strconv.ParseBool(s)
	case integer:
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err
	case number:
		return strconv.ParseFloat(s, 64)
	case list:
		return []string{s}, nil
	case table:
		k, v, _ := strings.Cut(s, ":")
		return map[string]string{k: v}, nil
	}
	return nil, fmt.Errorf("%s cannot be written as text", f.kind)
}

// assign stores a value that decode or parse returned through the pointer p.
func assign(p, v any) error {
	if several, ok := p.([]any); ok {
		for _, p := range several {
			if err := assign(p, v); err != nil {
				return err
			}
		}
		return nil
	}
	switch p := p.(type) {
	case *string:
		*p = v.(string)
	case *logging.Secret:
		*p = logging.Secret(v.(string))
	case *bool:
		*p = v.(bool)
	case *int:
		*p = int(v.(int64))
	case *int64:
		*p = v.(int64)
	case *float64:
		*p = v.(float64)
	case *uint64:
		if v.(int64) < 0 {
			return fmt.Errorf("must not be negative: %d", v)
		}
		*p = uint64(v.(int64))
	case *time.Duration:
		d, err := time.ParseDuration(v.(string))
		if err != nil {
			return fmt.Errorf("invalid duration: %q: %w", v, err)
		}
		*p = d
	case *[]string:
		if s, ok := v.(string); ok { // cipher suites are a list in one string
			v = strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
		}
		*p = v.([]string)
	case *map[string]string:
		*p = v.(map[string]string)
	case *ca.Settings:
		settings, err := ca.ParseSettings(p.Provider, plain(v).(map[string]any))
		if err != nil {
			return err
		}
		*p = settings
	case *[]local.ServiceDefinition:
		*p = appendDefined(*p, v)
	case *[]check.Definition:
		*p = appendDefined(*p, v)
	case *[]daemon.Watch:
		for _, e := range v.([]any) {
			w, err := e.(*watchBlock).watch()
			if err != nil {
				return err
			}
			*p = append(*p, w)
		}
	case *[]configentry.Entry:
		return appendEntries(p, v.([]any))
	default:
		panic(fmt.Sprintf("a field of type %T", p))
	}
	return nil
}

// appendDefined appends what decoder.defined has made.
func appendDefined[T any](to []T, v any) []T {
	for _, e := range v.([]any) {
		to = append(to, *e.(*T))
	}
	return to
}
