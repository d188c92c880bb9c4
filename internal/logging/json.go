package logging

import (
	"encoding/json"
	"log/slog"
)

const jsonTime = "2006-01-02T15:04:05.000000Z07:00"

// appendJSONLine appends the record as one JSON object with the keys @level, @message,
// @module and @timestamp and then the pairs.
func (h *handler) appendJSONLine(b []byte, r slog.Record) []byte {
	b = append(b, `{"@level":"`...)
	b = append(b, levelName(r.Level)...)
	b = append(b, `","@message":`...)
	b = appendJSONString(b, r.Message)
	if h.name != "" {
		b = append(b, `,"@module":`...)
		b = appendJSONString(b, h.name)
	}
	b = append(b, `,"@timestamp":"`...)
	b = r.Time.UTC().AppendFormat(b, jsonTime)
	b = append(b, '"')
	b = append(b, h.pairs...)
	r.Attrs(func(a slog.Attr) bool {
		b = h.appendPair(b, h.prefix, a)
		return true
	})
	return append(b, "}\n"...)
}

func appendJSONPair(b []byte, prefix, key string, v slog.Value) []byte {
	b = append(b, ',')
	b = appendJSONString(b, prefix+key)
	b = append(b, ':')
	if b, ok := number(b, v); ok {
		return b
	}
	if list, ok := v.Any().([]string); ok {
		b = append(b, '[')
		for i, s := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONString(b, s)
		}
		return append(b, ']')
	}
	return appendJSONString(b, text(v))
}

func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			quoted, err := json.Marshal(s)
			if err != nil {
				quoted = []byte(`""`) // cannot happen: every string marshals
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
