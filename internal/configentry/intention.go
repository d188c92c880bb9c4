package configentry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/tenancy"
)

// Intention is one source of a service-intentions entry with its destination. Its JSON is that of
// the older endpoints (catalog.md section 13).
type Intention struct {
	ID                   string `json:",omitempty"` // a UUID, if it was made without naming it by its ends
	Description          string `json:",omitempty"`
	SourceNS             string
	SourceName           string
	SourcePartition      string `json:",omitempty"`
	SourcePeer           string `json:",omitempty"`
	SourceSamenessGroup  string `json:",omitempty"`
	DestinationNS        string
	DestinationName      string
	DestinationPartition string `json:",omitempty"`
	SourceType           string
	Action               Action            `json:",omitempty"`
	Permissions          []Permission      `json:",omitempty"`
	Meta                 map[string]string `json:",omitempty"`
	Precedence           int
	CreatedAt            *time.Time `json:",omitempty"`
	UpdatedAt            *time.Time `json:",omitempty"`
	CreateIndex          uint64
	ModifyIndex          uint64
}

// Service is one end of a connection, or what an intention says about it.
type Service struct {
	Name string
	tenancy.Scope
	Peer string // of another cluster; its partition is "" then
}

// String returns the name as the API takes it: with what is not the default before it.
func (s Service) String() string {
	switch {
	case s.Partition != "" && s.Partition != tenancy.DefaultName:
		return s.Partition + "/" + s.Namespace + "/" + s.Name
	case s.Namespace != tenancy.DefaultName:
		return s.Namespace + "/" + s.Name
	}
	return s.Name
}

// Destination returns the service that the entry is about.
func (e *Entry) Destination() Service { return Service{Name: e.Name, Scope: e.Scope} }

// Scope is where a source is.
func (s *Source) Scope() tenancy.Scope {
	return tenancy.Scope{Partition: s.Partition, Namespace: s.Namespace}
}

// Service returns the callers that a source is about.
func (s *Source) Service() Service { return Service{Name: s.Name, Scope: s.Scope(), Peer: s.Peer} }

// Intention returns a source of the service-intentions entry e with its destination.
func (e *Entry) Intention(s *Source) Intention {
	return Intention{
		ID: s.LegacyID, Description: s.Description, SourceNS: s.Namespace, SourceName: s.Name,
		SourcePartition: unlessDefault(s.Partition), SourcePeer: s.Peer, SourceSamenessGroup: s.SamenessGroup,
		DestinationNS: e.Namespace, DestinationName: e.Name, DestinationPartition: unlessDefault(e.Partition),
		SourceType: s.Type, Action: s.Action, Permissions: s.Permissions, Meta: s.LegacyMeta, Precedence: s.Precedence,
		CreatedAt: s.LegacyCreated, UpdatedAt: s.LegacyUpdated, CreateIndex: e.CreateIndex, ModifyIndex: e.ModifyIndex,
	}
}

// Intentions returns all intentions of entries of the kind service-intentions, in order.
func Intentions(entries ...*Entry) []Intention {
	var all []Intention
	for _, e := range entries {
		for i := range e.ServiceIntentions.Sources {
			all = append(all, e.Intention(&e.ServiceIntentions.Sources[i]))
		}
	}
	return Sorted(all)
}

// Sorted orders intentions as they count: by falling precedence, and then by name.
func Sorted(all []Intention) []Intention {
	slices.SortStableFunc(all, func(a, b Intention) int {
		as, ad, bs, bd := a.Source(), a.Destination(), b.Source(), b.Destination()
		return cmp.Or(-cmp.Compare(a.Precedence, b.Precedence), ad.compare(bd), as.compare(bs))
	})
	return all
}

func (s Service) compare(o Service) int {
	return cmp.Or(cmp.Compare(s.Partition, o.Partition), cmp.Compare(s.Namespace, o.Namespace), cmp.Compare(s.Name, o.Name), cmp.Compare(s.Peer, o.Peer))
}

// Source returns the callers that i is about.
func (i *Intention) Source() Service {
	s := Service{Name: i.SourceName, Scope: tenancy.Scope{Partition: i.SourcePartition, Namespace: i.SourceNS}, Peer: i.SourcePeer}
	if s.Peer == "" {
		s.Partition = cmp.Or(s.Partition, tenancy.DefaultName)
	}
	return s
}

// Destination returns what they call.
func (i *Intention) Destination() Service {
	return Service{Name: i.DestinationName, Scope: tenancy.Scope{Partition: cmp.Or(i.DestinationPartition, tenancy.DefaultName), Namespace: i.DestinationNS}}
}

// String describes i as the reason of a decision (catalog.md section 14).
func (i *Intention) String() string {
	action := strings.ToUpper(string(i.Action))
	if len(i.Permissions) > 0 {
		action = fmt.Sprintf("%d PERMISSIONS", len(i.Permissions))
	}
	return fmt.Sprintf("%s/%s => %s/%s (Precedence: %d, Action: %s)",
		i.SourceNS, i.SourceName, i.DestinationNS, i.DestinationName, i.Precedence, action)
}

// Covers reports whether what an intention says about one of its ends is about the service o.
func (s Service) Covers(o Service) bool {
	return s.Peer == o.Peer && s.Partition == o.Partition &&
		(s.Namespace == tenancy.Wildcard || s.Namespace == o.Namespace) &&
		(s.Name == tenancy.Wildcard || strings.EqualFold(s.Name, o.Name))
}

// Decision is what intentions say about a connection.
type Decision struct {
	Allowed bool
	By      *Intention // that decided; nil is the default
}

// Decide says whether source may connect to destination: what the intention with the highest
// precedence says that is about both, and where there is none, what defaultAllow says. One
// that decides by request, with Permissions, does not allow the connection as a whole. Where two are equal, the one that
// does not allow counts. intentions may be in any order, and about others too.
func Decide(source, destination Service, intentions []Intention, defaultAllow bool) Decision {
	out := Decision{Allowed: defaultAllow}
	for n := range intentions {
		i := &intentions[n]
		if !i.Source().Covers(source) || !i.Destination().Covers(destination) {
			continue
		}
		allows := i.Action == Allow && len(i.Permissions) == 0
		if out.By == nil || i.Precedence > out.By.Precedence || i.Precedence == out.By.Precedence && !allows {
			out = Decision{Allowed: allows, By: i}
		}
	}
	return out
}

// By says which end of intentions is looked for.
type By string

// The ends.
const (
	BySource      By = "source"
	ByDestination By = "destination"
)

// Match returns those of intentions, in the order in which they count, whose one end is about a service.
func Match(intentions []Intention, by By, s Service) []Intention {
	var found []Intention
	for n := range intentions {
		end := intentions[n].Source()
		if by == ByDestination {
			end = intentions[n].Destination()
		}
		if end.Covers(s) {
			found = append(found, intentions[n])
		}
	}
	return Sorted(found)
}
