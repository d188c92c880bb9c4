package acl

import "github.com/lictor/lictor/internal/tenancy"

// Grant is the rules of a policy and the scope that the policy lives in.
type Grant struct {
	Rules *Rules
	Scope tenancy.Scope
}

// Defaults is what decides where no rule does.
type Defaults struct {
	Allow bool // the agent's default_policy is allow
}

// Compile merges grants into an authorizer.
func Compile(own, defaults []Grant, d Defaults) *Authorizer { return &Authorizer{} }
