package fsm

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// fill gives every exported field below v a value of its own, so that a field that the
// encoding loses is seen.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(t, v.Index(i), n)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, n)
		fill(t, value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 3, 4, 10, 11, 12, 131415161+*n, time.UTC)))
			return
		}
		for i := range v.NumField() {
			fill(t, v.Field(i), n)
		}
	case reflect.String:
		v.SetString(strings.Repeat("x", *n%7) + "é\x00" + string(rune('a'+*n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(int64(*n))
	case reflect.Int64:
		v.SetInt(int64(*n) * 1e9)
	case reflect.Uint64:
		v.SetUint(1<<40 + uint64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n) + 0.5)
	case reflect.Uint8:
		v.SetUint(uint64(*n % 256))
	case reflect.Interface:
		v.Set(reflect.ValueOf(map[string]any{"nested": []any{"a", 1.5, true, nil}}))
	default:
		t.Fatalf("no value for a %s: teach fill", v.Type())
	}
}

func TestEveryFieldOfEveryCommandComesBack(t *testing.T) {
	for kind, c := range kinds {
		v, n := reflect.New(reflect.TypeOf(c)).Elem(), 0
		fill(t, v, &n)
		want := v.Interface().(Command)
		entry, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(entry)
		if err != nil {
			t.Fatalf("kind %d: %v", kind, err)
		}
		if !reflect.DeepEqual(got[0], want) {
			t.Errorf("kind %d: %T differs after a round trip\n got %s\nwant %s", kind, c, plain(t, got[0]), plain(t, want))
		}
	}
}

func plain(t *testing.T, v any) string {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestAConfigKeepsItsJSONTypes(t *testing.T) {
	const config = `{"Arns":["a","b"],"On":true,"Retries":3,"Ratio":1.25,"Big":9007199254740993,"Gone":null,` +
		`"Nested":{"Deep":{"k":["v",{"w":-1}]}},"Text":"é\u0000\n","Empty":{},"None":[]}`
	tests := []struct {
		name      string
		useNumber bool
	}{
		{"with numbers as floats", false},
		{"with numbers as they were written", true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			dec := json.NewDecoder(strings.NewReader(config))
			if tc.useNumber {
				dec.UseNumber()
			}
			want := AuthMethodSet{Method: authmethod.Method{Name: "m"}}
			if err := dec.Decode(&want.Method.Config); err != nil {
				t.Fatal(err)
			}
			entry, err := Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(entry)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got[0], want) {
				t.Errorf("got %#v\nwant %#v", got[0].(AuthMethodSet).Method.Config, want.Method.Config)
			}
		})
	}
}

func TestFieldsMayBeAdded(t *testing.T) {
	type older struct{ AccessorID string }
	type newer struct {
		Added      map[string]any
		AccessorID string
		Scope      tenancy.Scope
		More       []older
	}
	data, err := marshal(newer{
		Added: map[string]any{"x": 1}, AccessorID: "a", Scope: tenancy.Default, More: []older{{"b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got TokenDelete
	if err := unmarshal(data, &got); err != nil || got.AccessorID != "a" || got.Scope != tenancy.Default {
		t.Errorf("from a newer version: %+v, %v", got, err)
	}
	if data, err = marshal(older{"c"}); err != nil {
		t.Fatal(err)
	}
	got = TokenDelete{}
	if err := unmarshal(data, &got); err != nil || got.AccessorID != "c" || got.Scope != (tenancy.Scope{}) {
		t.Errorf("from an older version: %+v, %v", got, err)
	}
}

func TestASecretIsStoredAsItIs(t *testing.T) {
	data, err := marshal(struct{ S logging.Secret }{"s3cret"})
	if err != nil || !strings.Contains(string(data), "s3cret") {
		t.Errorf("got %q, %v", data, err)
	}
}
