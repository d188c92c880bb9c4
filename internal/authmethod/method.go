// Package authmethod holds the rules of logins: what an auth method and a
// binding rule are, how a proven identity selects rules, and which names it is
// bound to (spec: authmethods.md). It does no I/O; each kind of
// method is a Type that somebody else implements.
package authmethod

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/wire"
)

// What TokenLocality may be; empty means local.
const (
	LocalTokens  = "local"
	GlobalTokens = "global"
)

// MinTokenTTL is the shortest life that a method may give its tokens.
const MinTokenTTL = time.Minute

// Method is a way to log in. Its JSON is the API's, with the API's key order;
// Config is echoed as it was sent (authmethods.md section 2).
type Method struct {
	MaxTokenTTL    time.Duration // 0: tokens live until logout
	Name           string
	Type           string
	DisplayName    string `json:",omitempty"`
	Description    string `json:",omitempty"`
	TokenLocality  string `json:",omitempty"`
	Config         map[string]any
	NamespaceRules []NamespaceRule `json:",omitempty"`
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// NamespaceRule says in which namespace a login's token is made: the first rule whose
// Selector matches decides (authmethods.md section 9).
type NamespaceRule struct {
	Selector      string
	BindNamespace string // a template
}

// Local reports whether the method's tokens stay in the datacenter of the login.
func (m *Method) Local() bool { return m.TokenLocality != GlobalTokens }

// plainMethod has Method's fields and none of its methods.
type plainMethod Method

// MarshalJSON writes MaxTokenTTL as text such as "1h30m0s", and not at all when it is 0.
func (m Method) MarshalJSON() ([]byte, error) {
	out := struct {
		MaxTokenTTL string `json:",omitempty"`
		*plainMethod
	}{plainMethod: (*plainMethod)(&m)}
	if m.MaxTokenTTL != 0 {
		out.MaxTokenTTL = m.MaxTokenTTL.String()
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads MaxTokenTTL as duration text or as integer nanoseconds.
// TokenNameFormat, which newer clients can send, changes nothing: descriptions of tokens
// are fixed. Any other key that a Method does not have is an error.
func (m *Method) UnmarshalJSON(data []byte) error {
	in := struct {
		MaxTokenTTL     wire.OptionalDuration
		TokenNameFormat string
		*plainMethod
	}{plainMethod: (*plainMethod)(m)}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return err
	}
	m.MaxTokenTTL = time.Duration(in.MaxTokenTTL)
	return nil
}

// ValidateMethod checks m and opens its Config with the one of types that m names. It returns
// errs.Invalid with the texts of authmethods.md section 2.1, or what Open returns.
func ValidateMethod(m *Method, types []Type) (Verifier, error) {
	if m.Name == "" {
		return nil, errs.New(errs.Invalid, "Invalid Auth Method: no Name is set")
	}
	if !isName(m.Name, 128) {
		return nil, errs.New(errs.Invalid, "Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
	}
	typ, err := findType(m.Type, types)
	if err != nil {
		return nil, err
	}
	if m.TokenLocality != "" && m.TokenLocality != LocalTokens && m.TokenLocality != GlobalTokens {
		return nil, errs.New(errs.Invalid, "Invalid Auth Method: TokenLocality should be one of 'local' or 'global'")
	}
	if m.MaxTokenTTL != 0 && m.MaxTokenTTL < MinTokenTTL {
		return nil, errs.Errorf(errs.Invalid, "MaxTokenTTL %s cannot be less than %s", m.MaxTokenTTL, MinTokenTTL)
	}
	v, err := open(m, typ)
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "Invalid Auth Method: %w", err)
	}
	if err := validateNamespaceRules(m, v.Example()); err != nil {
		return nil, errs.Errorf(errs.Invalid, "Invalid Auth Method: %w", err)
	}
	return v, nil
}

// Open returns the verifier of a stored method.
func Open(m *Method, types []Type) (Verifier, error) {
	typ, err := findType(m.Type, types)
	if err != nil {
		return nil, err
	}
	return open(m, typ)
}

func findType(name string, types []Type) (Type, error) {
	names := make([]string, 0, len(types))
	for _, t := range types {
		if t.Name() == name {
			return t, nil
		}
		names = append(names, t.Name())
	}
	sort.Strings(names)
	return nil, errs.Errorf(errs.Invalid, "Invalid Auth Method: Type should be one of: %v", names)
}

func validateNamespaceRules(m *Method, example Identity) error {
	if len(m.NamespaceRules) > 0 && m.Namespace != "" && m.Namespace != tenancy.DefaultName {
		return fmt.Errorf("NamespaceRules may only be set in the %s namespace", tenancy.DefaultName)
	}
	for i, r := range m.NamespaceRules {
		if _, err := ParseSelector(r.Selector, example); err != nil {
			return fmt.Errorf("invalid NamespaceRules[%d].Selector: %w", i, err)
		}
		if r.BindNamespace == "" {
			return fmt.Errorf("invalid NamespaceRules[%d].BindNamespace: no BindNamespace is set", i)
		}
		if _, err := bindNamespace(r.BindNamespace, example); err != nil {
			return fmt.Errorf("invalid NamespaceRules[%d].BindNamespace: %w", i, err)
		}
	}
	return nil
}

// ChooseNamespace returns the namespace for the token of a login: that of the
// first rule that matches id, or own, the method's, when none does. A rule that
// computes an impossible name fails the login with errs.Invalid. Whether the
// namespace exists is the caller's to check. Where seen is not nil it is told what each rule gives that was looked at.
func ChooseNamespace(rules []NamespaceRule, id Identity, own string, seen func(r NamespaceRule, name string, match bool, err error)) (string, error) {
	for _, r := range rules {
		name, match, err := r.Bind(id)
		if seen != nil {
			seen(r, name, match, err)
		}
		if err != nil || match {
			return name, err
		}
	}
	return own, nil
}

// Bind says whether r matches id, and the namespace that it names then.
func (r NamespaceRule) Bind(id Identity) (name string, match bool, err error) {
	if match, err = selects(r.Selector, id); err != nil || !match {
		return "", match, err
	}
	name, err = bindNamespace(r.BindNamespace, id)
	return name, true, err
}

func bindNamespace(template string, id Identity) (string, error) {
	name, err := interpolate(template, id)
	if err != nil {
		return "", err
	}
	if name = lowerASCII(name); tenancy.ValidateNamespace(name) != nil {
		return "", errs.Errorf(errs.Invalid, "invalid bind namespace: %q", name)
	}
	return name, nil
}
