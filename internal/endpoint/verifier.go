package endpoint

import (
	"sync"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/tenancy"
)

// cachedVerifiers bounds how many auth methods are kept open.
const cachedVerifiers = 256

// Verifiers opens auth methods and keeps them open: a verifier holds
// connections, and what it has seen. It is shared by all operations that verify.
type Verifiers struct {
	Types []authmethod.Type

	mu   sync.Mutex
	open map[methodKey]openMethod
}

// methodKey names an auth method. Names are compared as they are stored.
type methodKey struct {
	scope tenancy.Scope
	name  string
}

type openMethod struct {
	index    uint64 // ModifyIndex of what was opened
	verifier authmethod.Verifier
}

// Of returns the verifier of a stored method. A method that was changed gets
// a new one.
func (v *Verifiers) Of(m *authmethod.Method) (authmethod.Verifier, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	key := methodKey{scope: m.Scope, name: m.Name}
	if o, ok := v.open[key]; ok && o.index == m.ModifyIndex {
		return o.verifier, nil
	}
	verifier, err := authmethod.Open(m, v.Types)
	if err != nil {
		return nil, err
	}
	if v.open == nil || len(v.open) >= cachedVerifiers {
		v.open = map[methodKey]openMethod{}
	}
	v.open[key] = openMethod{index: m.ModifyIndex, verifier: verifier}
	return verifier, nil
}
