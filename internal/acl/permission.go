package acl

// Resource is what a rule speaks about, in the words of the rule language and
// of denials (acl.md sections 10.1 and 13.1).
type Resource uint8

// The resources.
const (
	ACL Resource = iota
	Agent
	Event
	Identity
	Intention
	Key
	Keyring
	Mesh
	Node
	Operator
	Peering
	Query
	Service
	Session
	numResources
)

// The partition and the namespace as objects: what "policy" directly inside their
// blocks speaks about. That of a namespace counts in ManagesNamespace; that of a partition gives
// nothing, because partitions are managed with operator (tenancy.md section 3).
const (
	partitionObject = numResources + iota
	namespaceObject
	numTables
)

var resourceNames = [numResources]string{
	"acl", "agent", "event", "identity", "intention", "key", "keyring", "mesh",
	"node", "operator", "peering", "query", "service", "session",
}

// String returns the word used in rules and denials.
func (r Resource) String() string { return resourceNames[r] }

// ParseResource returns the resource of a word, for the authorize endpoint.
func ParseResource(word string) (Resource, bool) {
	for i, name := range resourceNames {
		if name == word {
			return Resource(i), true
		}
	}
	return 0, false
}

// Access is how much a rule grants or a request asks. Higher includes lower,
// except that Deny grants nothing and List exists for keys alone.
type Access uint8

// The accesses, in rising order of what they include.
const (
	Unset Access = iota
	Deny
	Read
	List
	Write
)

var accessNames = [...]string{"", "deny", "read", "list", "write"}

// String returns the word of the rule language.
func (a Access) String() string { return accessNames[a] }

// Permission is a resource and the access asked for. WritePrefix asks for
// write on everything below the segment (recursive deletes).
type Permission struct {
	Resource    Resource
	Access      Access
	WritePrefix bool
}

// The permissions that operations ask for.
var (
	ACLRead        = Permission{Resource: ACL, Access: Read}
	ACLWrite       = Permission{Resource: ACL, Access: Write}
	AgentRead      = Permission{Resource: Agent, Access: Read}
	AgentWrite     = Permission{Resource: Agent, Access: Write}
	EventRead      = Permission{Resource: Event, Access: Read}
	EventWrite     = Permission{Resource: Event, Access: Write}
	IntentionRead  = Permission{Resource: Intention, Access: Read}
	IntentionWrite = Permission{Resource: Intention, Access: Write}
	KeyRead        = Permission{Resource: Key, Access: Read}
	KeyList        = Permission{Resource: Key, Access: List}
	KeyWrite       = Permission{Resource: Key, Access: Write}
	KeyringRead    = Permission{Resource: Keyring, Access: Read}
	KeyringWrite   = Permission{Resource: Keyring, Access: Write}
	MeshRead       = Permission{Resource: Mesh, Access: Read}
	NodeRead       = Permission{Resource: Node, Access: Read}
	NodeWrite      = Permission{Resource: Node, Access: Write}
	OperatorRead   = Permission{Resource: Operator, Access: Read}
	OperatorWrite  = Permission{Resource: Operator, Access: Write}
	ServiceRead    = Permission{Resource: Service, Access: Read}
	ServiceWrite   = Permission{Resource: Service, Access: Write}
	SessionRead    = Permission{Resource: Session, Access: Read}
	SessionWrite   = Permission{Resource: Session, Access: Write}

	// KeyWritePrefix is KeyWrite on every key that begins with the segment.
	KeyWritePrefix = Permission{Resource: Key, Access: Write, WritePrefix: true}
)

// String returns "resource:access" as denials say it.
func (p Permission) String() string { return p.Resource.String() + ":" + p.Access.String() }

// exists reports whether p is a permission that anybody can have.
func (p Permission) exists() bool {
	return p.Resource < numResources && p.Access >= Read && p.Access <= Write && (p.Access != List || p.Resource == Key)
}
