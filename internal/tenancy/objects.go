package tenancy

import (
	"bytes"
	"encoding/json"
	"time"
)

// What the built-in partition and namespaces say about themselves.
const (
	DefaultPartitionDescription = "Builtin Default Partition"
	DefaultNamespaceDescription = "Builtin Default Namespace"
)

// Partition is an admin partition (tenancy.md section 3).
type Partition struct {
	Name        string
	Description string `json:",omitempty"`
	// DeletedAt is when it was marked for deletion: it counts as gone, and what
	// is in it is being removed.
	DeletedAt   *time.Time `json:",omitempty" codec:",omitempty"`
	CreateIndex uint64     `json:",omitempty"`
	ModifyIndex uint64     `json:",omitempty"`
}

// Namespace is a namespace of a partition (tenancy.md section 2.1).
type Namespace struct {
	Name        string
	Description string            `json:",omitempty"`
	ACLs        *NamespaceACLs    `json:",omitempty"`
	Meta        map[string]string `json:",omitempty"`
	DeletedAt   *time.Time        `json:",omitempty" codec:",omitempty"` // as of a Partition
	Partition   string            `json:",omitempty"`
	CreateIndex uint64            `json:",omitempty"`
	ModifyIndex uint64            `json:",omitempty"`
}

// Scope is where the things in n live.
func (n *Namespace) Scope() Scope { return Scope{Namespace: n.Name, Partition: n.Partition} }

// NamespaceACLs are what every token of a namespace gets below its own rules.
// The linked objects live in the default namespace of the partition; stored
// links keep only IDs.
type NamespaceACLs struct {
	PolicyDefaults []Link
	RoleDefaults   []Link
}

// Link points at a policy or a role.
type Link struct {
	ID   string
	Name string
}

// MarshalJSON writes both lists, also when they are empty.
func (a NamespaceACLs) MarshalJSON() ([]byte, error) {
	type plain NamespaceACLs
	out := plain{PolicyDefaults: []Link{}, RoleDefaults: []Link{}}
	out.PolicyDefaults = append(out.PolicyDefaults, a.PolicyDefaults...)
	out.RoleDefaults = append(out.RoleDefaults, a.RoleDefaults...)
	return json.Marshal(out)
}

// UnmarshalJSON also knows the lists as policy_defaults and role_defaults. Any
// other key is an error.
func (a *NamespaceACLs) UnmarshalJSON(data []byte) error {
	var in struct {
		PolicyDefaults, RoleDefaults []Link
		PolicyAlias                  []Link `json:"policy_defaults"`
		RoleAlias                    []Link `json:"role_defaults"`
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return err
	}
	*a = NamespaceACLs{
		PolicyDefaults: append(in.PolicyDefaults, in.PolicyAlias...),
		RoleDefaults:   append(in.RoleDefaults, in.RoleAlias...),
	}
	return nil
}
