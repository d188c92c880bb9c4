package acl

import (
	"golang.org/x/crypto/blake2b"
)

// content collects the strings that an object's hash covers.
type content []byte

func (c *content) add(parts ...string) {
	for _, p := range parts {
		*c = append(*c, p...)
	}
}

func (c *content) addIdentities(services []ServiceIdentity, nodes []NodeIdentity, templates []TemplatedPolicy) {
	for _, s := range services {
		c.add(s.ServiceName)
		c.add(s.Datacenters...)
	}
	for _, n := range nodes {
		c.add(n.NodeName, n.Datacenter)
	}
	for _, t := range templates {
		c.add(t.TemplateID, t.TemplateName, t.variable())
		c.add(t.Datacenters...)
	}
}

func (c *content) addIDs(links []Link) {
	for _, l := range links {
		c.add(l.ID)
	}
}

// sum returns the hash: BLAKE2b-256, without key or separators (acl.md section 12).
func (c content) sum() []byte {
	h := blake2b.Sum256(c)
	return h[:]
}

// SetHash computes the hash of the policy's content. Like the other hashes it
// is opaque to clients and serves to see that content has changed; it
// identifies nothing.
func (p *Policy) SetHash() {
	var c content
	c.add(p.Name, p.Description, p.Rules)
	c.add(p.Datacenters...)
	p.Hash = c.sum()
}

// SetHash computes the hash of the role's content, whose links have IDs.
func (r *Role) SetHash() {
	var c content
	c.add(r.Name, r.Description)
	c.addIDs(r.Policies)
	c.addIdentities(r.ServiceIdentities, r.NodeIdentities, r.TemplatedPolicies)
	r.Hash = c.sum()
}

// SetHash computes the hash of the token's content, whose links have IDs.
func (t *Token) SetHash() {
	var c content
	c.add(t.Description)
	if t.Local {
		c.add("local")
	} else {
		c.add("global")
	}
	c.addIDs(t.Policies)
	c.addIDs(t.Roles)
	c.addIdentities(t.ServiceIdentities, t.NodeIdentities, t.TemplatedPolicies)
	t.Hash = c.sum()
}
