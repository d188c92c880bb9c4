package audit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

func FuzzParseLine(f *testing.F) {
	at := newChain()
	line := at.seal(nil, []byte(`{"payload":{"a":"b"}`))
	f.Add(line[:len(line)-1])
	f.Add([]byte(`{"chain":{"id":"","seq":18446744073709551615,"prev":"","hash":""}}`))
	f.Add([]byte(lineEnd))
	f.Fuzz(func(t *testing.T, line []byte) {
		if s, ok := parseLine(line); ok && s.sound {
			// What is sound can only have been sealed: the hash is of the line itself.
			again := link{id: s.id, seq: s.seq - 1, hash: s.prev}
			if again.seal(nil, []byte(`{}`)); again.seq != s.seq {
				t.Errorf("%q", line)
			}
		}
		path := filepath.Join(t.TempDir(), "a.json")
		if err := os.WriteFile(path, line, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify([]string{path}, nil, false); err != nil {
			t.Error(err)
		}
		if _, err := resume(path); err != nil {
			t.Error(err)
		}
	})
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n\x7f\u2028\u2029é\xff", string(make([]byte, 5000))} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got string
		if err := json.Unmarshal(appendText(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if utf8.ValidString(s) && len(s) <= maxText && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add(newChain().head())
	f.Fuzz(func(t *testing.T, s string) {
		if l, ok := parseHead(s); ok {
			if again, ok := parseHead(l.head()); !ok || again != l {
				t.Errorf("%q: %+v", s, l)
			}
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"GET /v1/kv/*", "acl.*", "*", "GET", "/v1/x"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) {
		if p, err := parsePattern(s); err == nil {
			p.matches(get(1))
		}
	})
}
