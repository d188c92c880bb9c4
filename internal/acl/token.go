package acl

import (
	"time"

	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// The objects that exist from the first start (spec: acl.md section 4.9).
const (
	AnonymousAccessor     = "00000000-0000-0000-0000-000000000002"
	AnonymousSecret       = "anonymous"
	GlobalManagementID    = "00000000-0000-0000-0000-000000000001"
	GlobalReadOnlyID      = "00000000-0000-0000-0000-000000000002"
	GlobalManagementName  = "global-management"
	GlobalReadOnlyName    = "builtin/global-read-only"
	ReservedUUIDPrefix    = "00000000-0000-0000-0000-0000000000"
	BootstrapDescription  = "Bootstrap Token (Global Management)"
	ManagementDescription = "Initial Management Token"
	AnonymousDescription  = "Anonymous Token"
)

// Token is a secret and the permissions it carries. Its JSON is the API's, with
// the API's key order. Stored tokens keep only the ID of a link; the name is
// looked up when a token is shown, so that a rename shows at once.
type Token struct {
	AccessorID          string
	SecretID            logging.Secret
	Description         string
	Policies            []Link            `json:",omitempty"`
	Roles               []Link            `json:",omitempty"`
	ServiceIdentities   []ServiceIdentity `json:",omitempty"`
	NodeIdentities      []NodeIdentity    `json:",omitempty"`
	TemplatedPolicies   []TemplatedPolicy `json:",omitempty"`
	Local               bool
	AuthMethod          string     `json:",omitempty"` // set on tokens from a login
	AuthMethodNamespace string     `json:",omitempty"`
	ExpirationTime      *time.Time `json:",omitempty"`
	CreateTime          time.Time
	Hash                []byte // of the content, see hash.go
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// Expired reports whether the token's life is over at now. An expired token
// counts as nonexistent from that instant, whether or not it was reaped.
func (t *Token) Expired(now time.Time) bool {
	return t.ExpirationTime != nil && !now.Before(*t.ExpirationTime)
}

// Link points at a policy or a role of the same scope.
type Link struct {
	ID   string
	Name string
}

// ServiceIdentity grants what a service and its sidecar proxy need. No
// Datacenters means all.
type ServiceIdentity struct {
	ServiceName string
	Datacenters []string `json:",omitempty"`
}

// NodeIdentity grants what an agent needs for its own node in one datacenter.
type NodeIdentity struct {
	NodeName   string
	Datacenter string
}

// TemplatedPolicy is one use of a built-in policy template.
type TemplatedPolicy struct {
	TemplateID        string
	TemplateName      string
	TemplateVariables *TemplateVariables `json:",omitempty"`
	Datacenters       []string           `json:",omitempty"`
}

// TemplateVariables fill a policy template. The key is "name" in answers and
// matches in any case in requests (acl.md section 4.1).
type TemplateVariables struct {
	Name string `json:"name"`
}
