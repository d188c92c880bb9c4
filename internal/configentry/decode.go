package configentry

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// written is what the text of each kind may have beside what is particular to it. Indexes and hash are those of
// a reader who writes back what was read; they mean nothing.
type written struct {
	Kind        string
	Name        string
	Meta        map[string]string
	Namespace   string
	Partition   string
	CreateIndex uint64
	ModifyIndex uint64
	Hash        uint64
}

// maxList is how many elements a list may have.
const maxList = 2 * MaxSources

// Decode builds an entry from an object as JSON or HCL have it: of string, bool, numbers, []any and
// map[string]any; in place of a list of objects, one may stand by itself. Keys are in CamelCase
// or in snake_case. The scope is as far complete as the object says, and Settle has to follow. It returns errs.Invalid, for unknown keys and
// wrong types too.
func Decode(object map[string]any) (*Entry, error) {
	raw, ok := object["Kind"]
	if !ok {
		raw, ok = object["kind"]
	}
	if !ok {
		return nil, errs.New(errs.Invalid, "Payload does not contain a kind/Kind key at the top level")
	}
	name, ok := raw.(string)
	if !ok {
		return nil, errs.New(errs.Invalid, "Kind value in payload is not a string")
	}
	kind, err := ParseKind(name)
	if err != nil {
		return nil, err
	}
	var common written
	e := &Entry{Kind: kind}
	d := &decoder{}
	d.object("", object, reflect.ValueOf(&common).Elem(), reflect.ValueOf(e.content()).Elem())
	if name := strings.ToLower(common.Namespace); kind.Home(tenancy.Scope{Namespace: name}).Namespace != name && name != "" {
		d.add("Namespace must be %q for kind %q", tenancy.DefaultName, kind)
	}
	if err := d.problems.all(); err != nil {
		return nil, err
	}
	e.Name, e.Meta = common.Name, common.Meta
	e.Namespace, e.Partition = strings.ToLower(common.Namespace), strings.ToLower(common.Partition)
	if kind == KindExportedServices && e.Partition == "" {
		e.Partition = strings.ToLower(e.Name) // which is the partition's
	}
	return e, nil
}

// decoder fills values of Go from those of a tree, and collects what does not fit.
type decoder struct{ problems }

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
)

// object fills the fields of structs from an object; at is its name in complaints.
func (d *decoder) object(at string, object map[string]any, into ...reflect.Value) {
	fields := map[string]reflect.Value{}
	for _, v := range into {
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if name == "" {
				name = v.Type().Field(i).Name
			}
			fields[fold(name)] = v.Field(i)
		}
	}
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	seen := map[string]bool{}
	for _, key := range keys {
		name, folded := dotted(at, key), fold(key)
		field, known := fields[folded]
		switch {
		case !known:
			d.add("invalid config key %q", name)
		case seen[folded]:
			d.add("config key %q is there twice", name)
		default:
			d.value(name, object[key], field)
		}
		seen[folded] = true
	}
}

// fold is the form of a key that CamelCase and snake_case have in common.
func fold(key string) string { return strings.ToLower(strings.ReplaceAll(key, "_", "")) }

// dotted returns the name of key inside at. Names stay short, however deep they are.
func dotted(at, key string) string {
	const most = 256
	if len(key) > most {
		key = key[:most] + "…"
	}
	if at == "" {
		return key
	}
	return at + "." + key
}

// value fills one value. Its depth is that of the types, which do not recurse.
func (d *decoder) value(at string, raw any, into reflect.Value) {
	if raw == nil {
		return
	}
	t := into.Type()
	if t == timeType {
		d.time(at, raw, into)
		return
	}
	if t == durationType {
		d.duration(at, raw, into)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		p := reflect.New(t.Elem())
		d.value(at, raw, p.Elem())
		into.Set(p)
	case reflect.Struct:
		if object, ok := raw.(map[string]any); ok {
			d.object(at, object, into)
		} else {
			d.mismatch(at, raw, "an object")
		}
	case reflect.Slice:
		d.list(at, raw, into)
	case reflect.Map:
		d.pairs(at, raw, into)
	case reflect.String:
		if text, ok := raw.(string); ok {
			into.SetString(text)
		} else {
			d.mismatch(at, raw, "a string")
		}
	case reflect.Bool:
		if on, ok := raw.(bool); ok {
			into.SetBool(on)
		} else {
			d.mismatch(at, raw, "true or false")
		}
	default:
		d.number(at, raw, into)
	}
}

func (d *decoder) list(at string, raw any, into reflect.Value) {
	var list []any
	switch raw := raw.(type) {
	case []any:
		list = raw
	case map[string]any: // one block of HCL
		list = []any{raw}
	default:
		d.mismatch(at, raw, "a list")
		return
	}
	if len(list) > maxList {
		d.add("%s: a list of more than %d elements", at, maxList)
		return
	}
	if len(list) == 0 {
		return
	}
	out := reflect.MakeSlice(into.Type(), len(list), len(list))
	for i := range list {
		d.value(fmt.Sprintf("%s[%d]", at, i), list[i], out.Index(i))
	}
	into.Set(out)
}

// pairs fills a map: of texts, or of anything.
func (d *decoder) pairs(at string, raw any, into reflect.Value) {
	object, ok := raw.(map[string]any)
	if !ok {
		d.mismatch(at, raw, "an object")
		return
	}
	if len(object) == 0 {
		return
	}
	out := reflect.MakeMapWithSize(into.Type(), len(object))
	for key, raw := range object {
		if into.Type().Elem().Kind() == reflect.Interface {
			if value := plain(raw); value != nil {
				out.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(value))
			}
			continue
		}
		value := reflect.New(into.Type().Elem()).Elem()
		d.value(dotted(at, key), raw, value)
		out.SetMapIndex(reflect.ValueOf(key), value)
	}
	into.Set(out)
}

// plain returns a value of free-form data as a reader of JSON has it: numbers are float64. Its
// depth is bounded by whoever parsed it.
func plain(raw any) any {
	switch raw := raw.(type) {
	case []any:
		out := make([]any, len(raw))
		for i := range raw {
			out[i] = plain(raw[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(raw))
		for key, value := range raw {
			out[key] = plain(value)
		}
		return out
	}
	if n, ok := asFloat(raw); ok {
		return n
	}
	return raw
}

func asFloat(raw any) (float64, bool) {
	switch n := raw.(type) {
	case json.Number:
		f, err := n.Float64()
		return f, err == nil
	case float64:
		return n, true
	case int64:
		return float64(n), true
	case int:
		return float64(n), true
	}
	return 0, false
}

func (d *decoder) number(at string, raw any, into reflect.Value) {
	f, ok := asFloat(raw)
	switch {
	case !ok:
		d.mismatch(at, raw, "a number")
	case f != math.Trunc(f):
		d.add("%s: %v is not a whole number", at, f)
	case into.CanUint():
		if n, ok := raw.(json.Number); ok { // of more digits than a float64 has
			var whole uint64
			if json.Unmarshal([]byte(n), &whole) == nil {
				into.SetUint(whole)
				return
			}
		}
		if f < 0 || f >= math.MaxUint64 {
			d.add("%s: %v is out of range", at, f)
			return
		}
		into.SetUint(uint64(f))
	case f < -math.MaxInt32 || f > math.MaxInt32:
		d.add("%s: %v is out of range", at, f)
	default:
		into.SetInt(int64(f))
	}
}

// duration fills a time.Duration from text such as "5s", or from nanoseconds.
func (d *decoder) duration(at string, raw any, into reflect.Value) {
	if text, ok := raw.(string); ok {
		length, err := time.ParseDuration(text)
		if err != nil {
			d.add("%s: %v", at, err)
			return
		}
		into.SetInt(int64(length))
		return
	}
	f, ok := asFloat(raw)
	switch {
	case !ok:
		d.mismatch(at, raw, "a duration")
	case math.Abs(f) > math.MaxInt64/2:
		d.add("%s: %v is out of range", at, f)
	default:
		into.SetInt(int64(f))
	}
}

func (d *decoder) time(at string, raw any, into reflect.Value) {
	text, ok := raw.(string)
	if !ok {
		d.mismatch(at, raw, "a time")
		return
	}
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d.add("%s: %v", at, err)
		return
	}
	into.Set(reflect.ValueOf(when.UTC()))
}

func (d *decoder) mismatch(at string, raw any, want string) {
	got := "a value"
	switch raw.(type) {
	case string:
		got = "a string"
	case bool:
		got = "true or false"
	case []any:
		got = "a list"
	case map[string]any:
		got = "an object"
	default:
		if _, ok := asFloat(raw); ok {
			got = "a number"
		}
	}
	d.add("%s: expected %s, got %s", at, want, got)
}
