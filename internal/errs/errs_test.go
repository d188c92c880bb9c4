package errs

import (
	"errors"
	"fmt"
	"testing"
)

func TestKindOf(t *testing.T) {
	base := New(Denied, "ACL not found")
	tests := []struct {
		name string
		err  error
		kind Kind
		text string
	}{
		{"plain errors are internal", errors.New("boom"), Internal, "boom"},
		{"a new error keeps its kind", base, Denied, "ACL not found"},
		{"added context keeps the kind", fmt.Errorf("read token: %w", base), Denied, "read token: ACL not found"},
		{"the outermost kind wins", Errorf(NotFound, "policy: %w", base), NotFound, "policy: ACL not found"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := KindOf(tc.err); got != tc.kind {
				t.Errorf("kind = %v, want %v", got, tc.kind)
			}
			if tc.err.Error() != tc.text {
				t.Errorf("text = %q, want %q", tc.err, tc.text)
			}
		})
	}
	if !errors.Is(Errorf(NotFound, "policy: %w", base), base) {
		t.Error("the cause is lost")
	}
	if Kind(200).String() != "kind(200)" || Throttled.String() != "throttled" {
		t.Error("names are wrong")
	}
}
