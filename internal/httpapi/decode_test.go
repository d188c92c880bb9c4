package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
)

type sample struct {
	Name  string
	Count int
	List  []sample          `json:",omitempty"`
	Meta  map[string]string `json:",omitempty"`
	Any   any               `json:",omitempty"`
}

func TestDecodeJSON(t *testing.T) {
	for _, c := range []struct{ name, body, err string }{
		{name: "a plain object", body: `{"Name":"a","Count":1}`},
		{name: "field names in any capitals", body: `{"name":"a","COUNT":1}`},
		{name: "space around the value", body: " \n{} \t\r\n"},
		{name: "null", body: `null`},
		{name: "nested objects with the same keys", body: `{"Name":"a","List":[{"Name":"b"},{"Name":"c"}]}`},
		{name: "an empty body", body: ``, err: "Token decoding failed: EOF"},
		{name: "only space", body: `  `, err: "Token decoding failed: EOF"},
		{name: "half an object", body: `{"Name":`, err: "Token decoding failed: unexpected EOF"},
		{name: "an unknown field", body: `{"Nope":1}`, err: `Token decoding failed: json: unknown field "Nope"`},
		{name: "an unknown field further in", body: `{"List":[{"Nope":1}]}`, err: `Token decoding failed: json: unknown field "Nope"`},
		{name: "the same key twice", body: `{"Name":"a","Name":"b"}`, err: `Token decoding failed: json: duplicate key "Name"`},
		{name: "the same key in other capitals", body: `{"Name":"a","nAME":"b"}`, err: `Token decoding failed: json: duplicate key "nAME"`},
		{name: "the same key in letters that fold", body: `{"List":[],"Liſt":[]}`, err: `Token decoding failed: json: duplicate key "Liſt"`},
		{name: "the same key escaped", body: `{"Name":"a","N\u0061me":"b"}`, err: `Token decoding failed: json: duplicate key "Name"`},
		{name: "the same key in a free object", body: `{"Meta":{"a":"1","a":"2"}}`, err: `Token decoding failed: json: duplicate key "a"`},
		{name: "the same key after an object", body: `{"Any":{},"Any":1}`, err: `Token decoding failed: json: duplicate key "Any"`},
		{name: "a second value", body: `{} {}`, err: "Token decoding failed: json: data after the value"},
		{name: "rubbish after the value", body: `{}x`, err: "Token decoding failed: json: data after the value"},
		{name: "a bracket after the value", body: `{}]`, err: "Token decoding failed: json: data after the value"},
		{name: "no JSON", body: `hello`, err: "Token decoding failed: invalid character 'h' looking for beginning of value"},
		{name: "the wrong kind of value", body: `{"Count":"one"}`, err: "Token decoding failed: json: cannot unmarshal string into Go struct field sample.Count of type int"},
		{name: "a number too large", body: `{"Count":1e999}`, err: "Token decoding failed: json: cannot unmarshal number 1e999 into Go struct field sample.Count of type int"},
		{name: "as deep as allowed", body: `{"Any":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`},
		{name: "one level too deep", body: `{"Any":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
			err: "Token decoding failed: json: nested more than 32 levels deep"},
		{name: "very deep and never closed", body: strings.Repeat(`{"a":`, 100_000),
			err: "Token decoding failed: json: nested more than 32 levels deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v sample
			err := decodeJSON("Token decoding failed", []byte(c.body), &v)
			if c.err == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil || err.Error() != c.err {
				t.Fatalf("got  %v\nwant %s", err, c.err)
			}
			if errs.KindOf(err) != errs.Invalid {
				t.Fatalf("kind %v", errs.KindOf(err))
			}
		})
	}
}

func TestPlain(t *testing.T) {
	many := func(n int) string {
		var keys []string
		for i := range n {
			keys = append(keys, fmt.Sprintf(`"k%d":1`, i))
		}
		return strings.Join(keys, ",")
	}
	for _, c := range []struct {
		name, body string
		want       bool
	}{
		{"a registration", `{"Node":"n","Service":{"ID":"a","Tags":["b\"","ü"],"Meta":{}},"Checks":[{"Name":"x"},{"Name":"y"}]} ` + "\n", true},
		{"a key in a value", `{"a":"b","c":"\"a\":1,"}`, true},
		{"the same key in objects side by side and inside", `[{"a":{"a":[{"a":1}]}},{"a":2}]`, true},
		{"a key twice", `{"a":1,"b":{},"A":2}`, false},
		{"a key twice after an object with others", `{"a":{"x":1,"y":[{"z":2}]},"a":2}`, false},
		{"a key with an escape", `{"\u0061":1}`, false},
		{"a key that is not ASCII", `{"ſ":1}`, false},
		{"as many keys as are compared", `{` + many(maxPlainKeys) + `}`, true},
		{"one more", `{` + many(maxPlainKeys+1) + `}`, false},
		{"as deep as allowed", strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), true},
		{"deeper", strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), false},
		{"something after it", `{}{}`, false},
		{"no object", `"a"`, false},
		{"nothing", ``, false},
		{"a text without an end", `{"a`, false},
		{"a text that ends in a backslash", `{"a\`, false},
	} {
		if got := plain([]byte(c.body)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		if err := checkShape([]byte(c.body)); c.want && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// BenchmarkDecodeJSON decodes a registration.
func BenchmarkDecodeJSON(b *testing.B) {
	body := []byte(`{"Node":"node-1","Address":"10.0.0.1","NodeMeta":{"rack":"r1"},"Service":{"ID":"svc-1-1","Service":"svc-1","Port":8080,` +
		`"Tags":["v1","primary"],"Meta":{"version":"1"}},"Check":{"CheckID":"svc-1-1","Name":"alive","ServiceID":"svc-1-1","Status":"passing","Output":"ok"}}`)
	b.ReportAllocs()
	for b.Loop() {
		var v registration
		if err := decodeJSON("x", body, &v); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzDecodeJSON checks that a text which decodes is JSON, has no key twice
// and is not too deep, by the rules of a second, recursive reader.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{"Name":"a","Count":1,"List":[{"Name":"b"}],"Meta":{"k":"v"},"Any":[1,2.5,null,true,"x"]}`,
		`{"Name":"a","name":"b"}`, `{"Meta":{"a":"","A":""}}`, `[[[[[[]]]]]]`, `{"Any":{"a":{"a":{}}}}`,
		``, `null`, `{}{}`, `{"Name":"\ud800"}`, "{\"\xff\":1,\"\xfe\":2}", `{"Liſt":1,"List":2}`, `{"a":1,}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if plain(data) && json.Valid(data) && checkShape(data) != nil {
			t.Fatalf("plain, but %v", checkShape(data))
		}
		var free any
		if err := decodeJSON("x", data, &free); err != nil {
			var v sample
			if decodeJSON("x", data, &v) == nil {
				t.Fatalf("typed decoding accepts what free decoding refuses: %v", err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatal("accepted what is no JSON")
		}
		if depth(free) > maxDepth {
			t.Fatal("accepted what is too deep")
		}
		if err := foldedTwice(free); err != nil {
			t.Fatal(err)
		}
	})
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, child := range v {
			deepest = max(deepest, depth(child))
		}
	case []any:
		for _, child := range v {
			deepest = max(deepest, depth(child))
		}
	default:
		return 0
	}
	return deepest + 1
}

func foldedTwice(v any) error {
	switch v := v.(type) {
	case map[string]any:
		var seen []string
		for key, child := range v {
			for _, other := range seen {
				if strings.EqualFold(key, other) {
					return errors.New("accepted a key twice: " + key)
				}
			}
			seen = append(seen, key)
			if err := foldedTwice(child); err != nil {
				return err
			}
		}
	case []any:
		for _, child := range v {
			if err := foldedTwice(child); err != nil {
				return err
			}
		}
	}
	return nil
}
