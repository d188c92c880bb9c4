package logging

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// handler formats records as text or JSON lines. It is immutable; With… return changed copies.
type handler struct {
	out    *output
	level  *Level
	json   bool
	name   string // dotted
	prefix string // of the keys inside a group, with its dot
	pairs  []byte // formatted pairs of WithAttrs
	others []byte // the same in the other form, for followers
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool {
	return l >= h.level.Level() || h.out.followers.want(l)
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.pairs, c.others = slices.Clip(c.pairs), slices.Clip(c.others)
	other := c
	other.json = !c.json
	for _, a := range attrs {
		if a.Key == moduleKey {
			if m, ok := a.Value.Any().(module); ok {
				c.name = strings.TrimPrefix(c.name+"."+string(m), ".")
				continue
			}
		}
		c.pairs = c.appendPair(c.pairs, c.prefix, a)
		c.others = other.appendPair(c.others, c.prefix, a)
	}
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	c := *h
	c.prefix += name + "."
	return &c
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// maxPooled keeps one huge line from holding its memory for ever.
const maxPooled = 16 << 10

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	if h.out.followers.want(r.Level) {
		h.out.followers.tell(h, r)
	}
	if r.Level < h.level.Level() {
		return nil
	}
	p := buffers.Get().(*[]byte)
	b := h.appendLine((*p)[:0], r, h.json)
	err := h.out.write(r.Level, b)
	if cap(b) <= maxPooled {
		*p = b
		buffers.Put(p)
	}
	return err
}

// appendLine appends the record as one line in the form asked for.
func (h *handler) appendLine(b []byte, r slog.Record, asJSON bool) []byte {
	if asJSON != h.json {
		other := *h
		other.json, other.pairs, other.others = asJSON, h.others, h.pairs
		h = &other
	}
	if asJSON {
		return h.appendJSONLine(b, r)
	}
	return h.appendTextLine(b, r)
}

// appendPair appends one pair, or each pair of a group.
func (h *handler) appendPair(b []byte, prefix string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range v.Group() {
			b = h.appendPair(b, prefix, inner)
		}
		return b
	}
	if a.Key == "" && v.Any() == nil {
		return b // slog: an empty Attr is ignored
	}
	if h.json {
		return appendJSONPair(b, prefix, a.Key, v)
	}
	return appendTextPair(b, prefix, a.Key, v)
}

// number formats the values that need neither quotes nor escapes in either form.
func number(b []byte, v slog.Value) ([]byte, bool) {
	switch v.Kind() {
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10), true
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool()), true
	}
	return b, false
}

// text is the value as fmt prints it, in which a Secret stays hidden. JSON is not used
// on purpose: a Secret marshals as itself.
func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindString, slog.KindDuration:
		return v.String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindFloat64:
		return strconv.FormatFloat(v.Float64(), 'g', -1, 64)
	}
	switch x := v.Any().(type) {
	case []byte:
		return string(x)
	default:
		return fmt.Sprint(x)
	}
}
