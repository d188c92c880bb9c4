package httpapi

import "bytes"

// maxPlainKeys bounds the keys that plain compares, of all objects that are open at a time.
const maxPlainKeys = 64

// plain reports whether data, provided that it is JSON, has a shape that checkShape accepts for certain. It is true of what
// clients send, for a tenth of the time: objects with few keys, of ASCII and without escapes. Of a
// text that is no JSON it may say anything.
func plain(data []byte) bool {
	const array = -1
	var open [maxDepth]int // where the keys of each begin
	keys, depth, wantKey := make([][]byte, 0, maxPlainKeys), 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; c {
		case '{', '[':
			if depth == maxDepth {
				return false
			}
			open[depth] = array
			if wantKey = c == '{'; wantKey {
				open[depth] = len(keys)
			}
			depth++
		case '}', ']':
			if depth == 0 {
				return false
			}
			if depth--; open[depth] != array {
				keys = keys[:open[depth]]
			}
			wantKey = false
			if depth == 0 {
				return len(bytes.Trim(data[i+1:], " \t\r\n")) == 0
			}
		case ',':
			wantKey = depth > 0 && open[depth-1] != array
		case '"':
			text, length := plainText(data[i+1:])
			if length < 0 || depth == 0 {
				return false
			}
			if wantKey {
				if text == nil || len(keys) == maxPlainKeys || containsFold(keys[open[depth-1]:], text) {
					return false
				}
				keys, wantKey = append(keys, text), false
			}
			i += length + 1
		}
	}
	return false
}

// plainText returns the text before the quote that ends it, and its length: nil if it is not only ASCII without
// escapes, and -1 if no quote ends it.
func plainText(data []byte) (text []byte, length int) {
	literal := true
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			if !literal {
				return nil, i
			}
			return data[:i], i
		case c == '\\':
			literal = false
			i++
		case c >= 0x80:
			literal = false
		}
	}
	return nil, -1
}

func containsFold(keys [][]byte, key []byte) bool {
	for _, k := range keys {
		if len(k) == len(key) && bytes.EqualFold(k, key) {
			return true
		}
	}
	return false
}
