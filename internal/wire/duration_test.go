package wire

import (
	"encoding/json"
	"testing"
	"time"
)

func TestDurationsAreTextOrNanoseconds(t *testing.T) {
	const kept = 7 * time.Second
	for _, tc := range []struct {
		name, in                 string
		want, optional           time.Duration
		refused, optionalRefused bool
	}{
		{"text", `"1m30s"`, 90 * time.Second, 90 * time.Second, false, false},
		{"nanoseconds", `90`, 90, 90, false, false},
		{"less than nothing", `"-1s"`, -time.Second, -time.Second, false, false},
		{"null", `null`, kept, kept, false, false},
		{"empty text", `""`, kept, kept, true, false},
		{"no unit", `"10"`, kept, kept, true, true},
		{"a word", `"soon"`, kept, kept, true, true},
		{"part of a nanosecond", `1.5`, kept, kept, true, true},
		{"more than there is", `"9999999h"`, kept, kept, true, true},
		{"an object", `{}`, kept, kept, true, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := Duration(kept)
			if err := json.Unmarshal([]byte(tc.in), &d); (err != nil) != tc.refused || time.Duration(d) != tc.want {
				t.Errorf("a duration: %v, %v", time.Duration(d), err)
			}
			o := OptionalDuration(kept)
			if err := json.Unmarshal([]byte(tc.in), &o); (err != nil) != tc.optionalRefused || time.Duration(o) != tc.optional {
				t.Errorf("one that need not be given: %v, %v", time.Duration(o), err)
			}
		})
	}
}

func FuzzDuration(f *testing.F) {
	for _, seed := range []string{`"1m30s"`, `90`, `""`, `"10"`, `null`, `1e300`, `"\u0031s"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var d, again Duration
		if json.Unmarshal(in, &d) != nil {
			return
		}
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &again); err != nil || again != d {
			t.Errorf("%s became %s and %v, %v", in, text, time.Duration(again), err)
		}
	})
}
