package endpoint

import (
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/uuid"
)

// lookupID returns id in the form that it is stored in. It returns
// errs.Invalid with the text that clients know for what is no UUID; kind is
// "token", "policy" and so on.
func lookupID(kind, id string) (string, error) {
	if !uuid.Valid(id) {
		return "", errs.Errorf(errs.Invalid, "failed acl %s lookup: index error: UUID must be 36 characters", kind)
	}
	return strings.ToLower(id), nil
}
