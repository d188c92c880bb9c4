package acl

import "github.com/lictor/lictor/internal/tenancy"

// Policy is a named set of rules. Rules is the text as it was written, HCL or
// JSON, and always parses (spec: acl.md sections 5 and 10).
type Policy struct {
	ID          string
	Name        string
	Description string
	Rules       string
	Datacenters []string `json:",omitempty"` // where the rules count; none means everywhere
	Hash        []byte
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// Role is a named set of links and identities that tokens share (acl.md
// section 6). Stored roles keep only the IDs of their policy links.
type Role struct {
	ID                string
	Name              string
	Description       string
	Policies          []Link            `json:",omitempty"`
	ServiceIdentities []ServiceIdentity `json:",omitempty"`
	NodeIdentities    []NodeIdentity    `json:",omitempty"`
	TemplatedPolicies []TemplatedPolicy `json:",omitempty"`
	Hash              []byte
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}
