package uuid

import "testing"

func TestNewIsValidAndOfVersion4(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := New()
		if !Valid(id) || id[14] != '4' || id[19] != '8' && id[19] != '9' && id[19] != 'a' && id[19] != 'b' {
			t.Fatalf("%q is no random UUID", id)
		}
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
	}
}

func TestValid(t *testing.T) {
	tests := []struct {
		name, id string
		want     bool
	}{
		{"lower case", "6f0c2f2e-0a51-4c55-8f0e-1d2c3b4a5968", true},
		{"upper case", "6F0C2F2E-0A51-4C55-8F0E-1D2C3B4A5968", true},
		{"empty", "", false},
		{"a digit short", "6f0c2f2e-0a51-4c55-8f0e-1d2c3b4a596", false},
		{"a letter beyond f", "6f0c2f2e-0a51-4c55-8f0e-1d2c3b4a596g", false},
		{"hyphens elsewhere", "6f0c2f2e0-a51-4c55-8f0e-1d2c3b4a5968", false},
		{"no hyphens", "6f0c2f2e00a5104c5508f0e01d2c3b4a5968", false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := Valid(tc.id); got != tc.want {
				t.Errorf("Valid(%q) = %v", tc.id, got)
			}
		})
	}
}

func TestOfIsAlwaysTheSame(t *testing.T) {
	const want = "e3b0c442-98fc-8c14-9afb-f4c8996fb924" // from the SHA-256 of nothing
	if got := Of(nil); got != want || !Valid(got) {
		t.Errorf("got %s, want %s", got, want)
	}
	if Of([]byte("a")) == Of([]byte("b")) {
		t.Error("different data, same UUID")
	}
}
