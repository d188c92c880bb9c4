package acl

import (
	"testing"

	"github.com/lictor/lictor/internal/tenancy"
)

func TestBuiltinPoliciesReachEverything(t *testing.T) {
	for _, p := range BuiltinPolicies() {
		rules, err := p.Validate()
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		if len(p.Hash) != 32 || p.Description == "" || !p.IsDefault() {
			t.Errorf("policy is %+v", p)
		}
		a := Compile([]Grant{{Rules: rules, Scope: p.Scope}}, nil, Defaults{})
		writes := p.ID == GlobalManagementID
		for _, s := range []tenancy.Scope{tenancy.Default, in(t, "", "team"), in(t, "p", ""), in(t, "p", "team")} {
			for r := range numResources {
				if !a.Allowed(s, Permission{Resource: r, Access: Read}, "x") {
					t.Errorf("%s does not read %s in %s", p.Name, r, s)
				}
				if got := a.Allowed(s, Permission{Resource: r, Access: Write}, "x"); got != writes {
					t.Errorf("%s writes %s in %s: %v", p.Name, r, s, got)
				}
			}
			if got := a.Allowed(s, Permission{Resource: Key, Access: Write, WritePrefix: true}, ""); got != writes {
				t.Errorf("%s deletes all keys in %s: %v", p.Name, s, got)
			}
			if got := a.Allowed(s, Permission{Resource: Intention, Access: Write}, "*"); got != writes {
				t.Errorf("%s writes the intention on * in %s: %v", p.Name, s, got)
			}
			if !a.AnyIn(s) || a.ManagesNamespace(s, Write) != writes {
				t.Errorf("%s on %s as an object", p.Name, s)
			}
		}
	}
}
