package logging

import (
	"log/slog"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const textTime = "2006-01-02T15:04:05.000Z"

// appendTextLine appends, for example:
//
//	2026-01-02T15:04:05.678Z [INFO]  agent.server: message: key=value key2="two words"
func (h *handler) appendTextLine(b []byte, r slog.Record) []byte {
	b = r.Time.UTC().AppendFormat(b, textTime)
	b = append(b, ' ')
	b = append(b, levelColumn(r.Level)...)
	b = append(b, ' ')
	if h.name != "" {
		b = append(b, h.name...)
		b = append(b, ": "...)
	}
	b = appendOneLine(b, r.Message)
	if len(h.pairs) > 0 || r.NumAttrs() > 0 {
		b = append(b, ':')
		b = append(b, h.pairs...)
		r.Attrs(func(a slog.Attr) bool {
			b = h.appendPair(b, h.prefix, a)
			return true
		})
	}
	return append(b, '\n')
}

func appendTextPair(b []byte, prefix, key string, v slog.Value) []byte {
	start := len(b)
	b = append(b, ' ')
	b = appendOneLine(b, prefix)
	b = appendOneLine(b, key)
	b = append(b, '=')
	if b, ok := number(b, v); ok {
		return b
	}
	if list, ok := v.Any().([]string); ok {
		return appendTextList(b, list)
	}
	s := text(v)
	if strings.Contains(s, "\n") {
		return appendBlock(b[:start], prefix+key, s)
	}
	if needsQuotes(s) {
		return strconv.AppendQuote(b, s)
	}
	return append(b, s...)
}

func appendTextList(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendQuote(b, s)
	}
	return append(b, ']')
}

// appendBlock writes a value of several lines so that none of them can pass for a log line.
func appendBlock(b []byte, key, s string) []byte {
	b = append(b, "\n  "...)
	b = appendOneLine(b, key)
	b = append(b, "=\n"...)
	for line := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		b = append(b, "  | "...)
		b = appendOneLine(b, line)
		b = append(b, '\n')
	}
	return append(b, "  "...)
}

// needsQuotes reports whether s would not read as one word.
func needsQuotes(s string) bool {
	if s == "" {
		return true
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == '"' || c == '\\' || c >= 0x7f {
			return true
		}
	}
	return false
}

// appendOneLine appends s with everything escaped that is not printable.
func appendOneLine(b []byte, s string) []byte {
	clean := true
	for i := 0; i < len(s) && clean; i++ {
		clean = s[i] >= ' ' && s[i] < 0x7f
	}
	if clean {
		return append(b, s...)
	}
	for _, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			q := strconv.QuoteRuneToASCII(r)
			b = append(b, q[1:len(q)-1]...)
			continue
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}
