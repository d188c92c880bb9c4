package endpoint

import (
	"context"
	"strings"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
	"github.com/lictor/lictor/internal/uuid"
)

// Bounds on a namespace's Meta.
const (
	maxNamespaceMeta      = 64
	maxNamespaceMetaBytes = 8 << 10
)

// Namespaces are the operations on namespaces (tenancy.md section 2).
type Namespaces struct{ *Backend }

// Set creates a namespace or replaces the one with its name. name is that of
// the URL, "" if there is none; n.Partition says where. It needs operator:write,
// or a rule that manages the namespace, and acl:write for what it links to.
func (e *Namespaces) Set(ctx context.Context, who acl.Caller, name string, n tenancy.Namespace) (*tenancy.Namespace, error) {
	if n.Name == "" {
		n.Name = name
	}
	n.Name, n.DeletedAt = strings.ToLower(n.Name), nil
	root := n.Scope().PartitionRoot()
	if err := mayManage(who, n.Scope(), acl.Write); err != nil {
		return nil, err
	}
	if links := n.ACLs; links != nil && len(links.PolicyDefaults)+len(links.RoleDefaults) > 0 {
		if err := who.Require(root, acl.ACLWrite, ""); err != nil {
			return nil, err
		}
	}
	if name != "" && !strings.EqualFold(name, n.Name) {
		return nil, errs.New(errs.Invalid, "Namespace name in URL and payload do not match")
	}
	if err := checkNamespace(e.Store.Read(), who, &n, root); err != nil {
		return nil, err
	}
	if _, err := e.Raft.Propose(ctx, fsm.NamespaceSet{Namespace: n, Management: managementPolicy(n.Scope())}); err != nil {
		return nil, err
	}
	tx := e.Store.Read()
	stored, err := tx.Namespace(nil, n.Partition, n.Name)
	if err != nil || stored == nil {
		return nil, err
	}
	return showNamespace(tx, stored)
}

// Delete marks a namespace for deletion: at once nothing works or can be made in
// it, and what it holds is removed in the background, the namespace last. It needs
// operator:write, or a rule that manages the namespace. An unknown one is errs.NotFound, one that
// is marked already stays as it is.
func (e *Namespaces) Delete(ctx context.Context, who acl.Caller, partition, name string) error {
	s := tenancy.Scope{Partition: partition, Namespace: strings.ToLower(name)}
	if err := mayManage(who, s, acl.Write); err != nil {
		return err
	}
	_, err := e.Raft.Propose(ctx, fsm.NamespaceDelete{Partition: s.Partition, Name: s.Namespace, Now: e.now().UTC()})
	return err
}

// mayManage decides about a namespace as an object: the operator permission
// serves, and so does a rule about the namespace itself.
func mayManage(who acl.Caller, s tenancy.Scope, want acl.Access) error {
	denied := who.Require(tenancy.Default, acl.Permission{Resource: acl.Operator, Access: want}, "")
	if denied != nil && who.Authorizer.ManagesNamespace(s, want) {
		return nil
	}
	return denied
}

// checkNamespace checks n, that who writes, and resolves what it links to in
// root, its partition's default namespace.
func checkNamespace(tx *state.Tx, who acl.Caller, n *tenancy.Namespace, root tenancy.Scope) error {
	if n.Name == "consul" {
		return errs.Errorf(errs.Invalid, "Namespace %q is reserved for future internal use", n.Name)
	}
	if err := tenancy.ValidateNamespace(n.Name); err != nil {
		return err
	}
	if err := tx.CheckScope(root); err != nil {
		return err
	}
	size := 0
	for k, v := range n.Meta {
		size += len(k) + len(v)
	}
	if len(n.Meta) > maxNamespaceMeta || size > maxNamespaceMetaBytes {
		return errs.Errorf(errs.Invalid, "Invalid Namespace: Meta has more than %d pairs or %d bytes", maxNamespaceMeta, maxNamespaceMetaBytes)
	}
	if n.ACLs == nil {
		return nil
	}
	policies, err := policyLinks(tx, who, root, aclLinks(n.ACLs.PolicyDefaults), `Invalid Namespace: no policy with ID %q`)
	if err != nil {
		return err
	}
	roles, err := roleLinks(tx, root, aclLinks(n.ACLs.RoleDefaults))
	if err != nil {
		return err
	}
	n.ACLs = &tenancy.NamespaceACLs{PolicyDefaults: tenancyLinks(policies), RoleDefaults: tenancyLinks(roles)}
	return nil
}

func aclLinks(links []tenancy.Link) []acl.Link {
	out := make([]acl.Link, len(links))
	for i, l := range links {
		out[i] = acl.Link(l)
	}
	return out
}

func tenancyLinks(links []acl.Link) []tenancy.Link {
	out := make([]tenancy.Link, len(links))
	for i, l := range links {
		out[i] = tenancy.Link(l)
	}
	return out
}

// showNamespace returns a stored namespace with the names of its links.
func showNamespace(tx *state.Tx, stored *tenancy.Namespace) (*tenancy.Namespace, error) {
	if stored.ACLs == nil {
		return stored, nil
	}
	n, root := *stored, stored.Scope().PartitionRoot()
	policies, err := showPolicies(tx, root, aclLinks(n.ACLs.PolicyDefaults))
	if err != nil {
		return nil, err
	}
	roles, err := showRoles(tx, root, aclLinks(n.ACLs.RoleDefaults))
	if err != nil {
		return nil, err
	}
	n.ACLs = &tenancy.NamespaceACLs{PolicyDefaults: tenancyLinks(policies), RoleDefaults: tenancyLinks(roles)}
	return &n, nil
}

// Read returns a namespace. It needs operator:read, a rule about the namespace,
// or any access inside it. An unknown one is errs.NotFound.
func (e *Namespaces) Read(ctx context.Context, who acl.Caller, partition, name string, r Read) (*tenancy.Namespace, Meta, error) {
	s := tenancy.Scope{Partition: partition, Namespace: strings.ToLower(name)}
	var out *tenancy.Namespace
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		if err := maySee(who, s); err != nil {
			return 0, err
		}
		row, err := tx.Namespace(ws, s.Partition, s.Namespace)
		if err != nil {
			return 0, err
		}
		if row == nil {
			return 0, errs.New(errs.NotFound, "Namespace not found")
		}
		out, err = showNamespace(tx, row)
		return tx.LastIndex(state.TableNamespaces), err
	})
	return out, meta, err
}

func maySee(who acl.Caller, s tenancy.Scope) error {
	denied := mayManage(who, s, acl.Read)
	if denied != nil && who.Authorizer.AnyIn(s) {
		return nil
	}
	return denied
}

// List returns the namespaces of a partition sorted by name: all for
// operator:read, else those that who may read.
func (e *Namespaces) List(ctx context.Context, who acl.Caller, partition string, r Read) ([]*tenancy.Namespace, Meta, error) {
	var out []*tenancy.Namespace
	var filtered bool
	meta, err := e.Block(ctx, who, r, func(who acl.Caller, tx *state.Tx, ws memdb.WatchSet) (uint64, error) {
		rows, err := tx.Namespaces(ws, partition)
		if err != nil {
			return 0, err
		}
		out = make([]*tenancy.Namespace, 0, len(rows))
		for _, row := range rows {
			if maySee(who, row.Scope()) != nil {
				continue
			}
			n, err := showNamespace(tx, row)
			if err != nil {
				return 0, err
			}
			out = append(out, n)
		}
		filtered = len(out) < len(rows) && !who.Anonymous()
		return tx.LastIndex(state.TableNamespaces), nil
	})
	meta.FilteredByACLs = filtered
	return out, meta, err
}

// managementRules is what the policy that each new namespace gets grants in it.
const managementRules = `acl = "write"
key_prefix "" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "write"
  intentions = "write"
}
session_prefix "" {
  policy = "write"
}
`

// managementPolicy is the policy that a new namespace gets (tenancy.md section 7.2).
// It is an ordinary one: it can be changed and deleted.
func managementPolicy(s tenancy.Scope) *acl.Policy {
	p := acl.Policy{
		ID:          uuid.New(),
		Name:        "namespace-management",
		Description: "Manages everything inside the namespace",
		Rules:       managementRules,
		Scope:       s,
	}
	p.SetHash()
	return &p
}
