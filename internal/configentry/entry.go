// Package configentry is the domain of config entries: what operators say centrally about
// services, proxies and who may call whom (spec: catalog.md sections 12 and 13, mesh.md
// section 2, tenancy.md section 8). It has no I/O and no clock.
package configentry

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// Kind says what an entry is about.
type Kind string

// The kinds that can be stored.
const (
	KindServiceDefaults   Kind = "service-defaults"
	KindProxyDefaults     Kind = "proxy-defaults"
	KindServiceIntentions Kind = "service-intentions"
	KindMesh              Kind = "mesh"
	KindExportedServices  Kind = "exported-services"
)

// The only names of the kinds that have one entry a partition.
const (
	GlobalName = "global" // of proxy-defaults
	MeshName   = "mesh"
)

// later are kinds of the API that cannot be stored yet.
var later = []Kind{
	"service-router", "service-splitter", "service-resolver", "ingress-gateway", "terminating-gateway", "api-gateway",
	"http-route", "tcp-route", "inline-certificate", "file-system-certificate", "sameness-group", "jwt-provider",
	"control-plane-request-limit", "rate-limit",
}

// Kinds returns the kinds that can be stored.
func Kinds() []Kind {
	return []Kind{KindExportedServices, KindMesh, KindProxyDefaults, KindServiceDefaults, KindServiceIntentions}
}

// ParseKind returns the kind with a name. It returns errs.Invalid for a name that no kind has,
// and, with another text, for a kind that cannot be stored yet.
func ParseKind(name string) (Kind, error) {
	switch k := Kind(name); {
	case slices.Contains(Kinds(), k):
		return k, nil
	case slices.Contains(later, k):
		return "", errs.Errorf(errs.Invalid, "config entry kind %q is not supported yet", name)
	}
	return "", errs.Errorf(errs.Invalid, "invalid config entry kind: %s", name)
}

// Home returns where an entry of kind k lives that is asked for from s: some kinds belong to
// the partition as a whole (tenancy.md section 6).
func (k Kind) Home(s tenancy.Scope) tenancy.Scope {
	switch k {
	case KindServiceDefaults, KindServiceIntentions:
		return s
	}
	return s.PartitionRoot()
}

// Entry is a config entry: what all kinds have, and of the others the one of its Kind. Stored
// ones are shared and read-only.
type Entry struct {
	Kind Kind
	Name string

	ServiceDefaults   *ServiceDefaults
	ProxyDefaults     *ProxyDefaults
	ServiceIntentions *ServiceIntentions
	Mesh              *Mesh
	ExportedServices  *ExportedServices

	Meta map[string]string
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// content is what is particular to a kind.
type content interface {
	normalize(e *Entry)
	check(e *Entry, wrong *problems)
}

// content returns what is particular to e's kind, making it where it is missing.
func (e *Entry) content() content {
	switch e.Kind {
	case KindServiceDefaults:
		return orNew(&e.ServiceDefaults)
	case KindProxyDefaults:
		return orNew(&e.ProxyDefaults)
	case KindServiceIntentions:
		return orNew(&e.ServiceIntentions)
	case KindMesh:
		return orNew(&e.Mesh)
	case KindExportedServices:
		return orNew(&e.ExportedServices)
	}
	panic("configentry: kind " + string(e.Kind)) // ParseKind knows no other
}

func orNew[T any](at **T) *T {
	if *at == nil {
		*at = new(T)
	}
	return *at
}

// Limits on an entry.
const (
	maxName      = 255
	maxMeta      = 64
	maxMetaKey   = 128
	maxMetaValue = 512
)

// Settle puts an entry with a complete scope into the form that it is stored in: defaults are
// filled in and lists are in order. It returns errs.Invalid for what must not be stored. The entry may be used by nobody else.
func (e *Entry) Settle() error {
	e.Scope = e.Kind.Home(e.Scope)
	c := e.content()
	c.normalize(e)
	wrong := &problems{}
	if len(e.Name) > maxName {
		wrong.add("Name must not be longer than %d bytes", maxName)
	}
	c.check(e, wrong)
	checkMeta(e.Meta, wrong)
	return wrong.first()
}

func checkMeta(meta map[string]string, wrong *problems) {
	if len(meta) > maxMeta {
		wrong.add("Meta cannot have more than %d key/value pairs", maxMeta)
		return
	}
	for _, key := range slices.Sorted(maps.Keys(meta)) {
		switch {
		case key == "" || len(key) > maxMetaKey:
			wrong.add("Meta: a key must have 1 to %d bytes", maxMetaKey)
		case len(meta[key]) > maxMetaValue:
			wrong.add("Meta: the value of %q must not be longer than %d bytes", key, maxMetaValue)
		}
	}
}

// Key returns what names e among the entries of its scope: kind and name, the latter in any
// case.
func (e *Entry) Key() string { return Key(e.Kind, e.Name) }

// Key returns the Key of the entry with a kind and a name.
func Key(k Kind, name string) string { return string(k) + "/" + strings.ToLower(name) }

// head and tail are what the JSON of each kind begins and ends with. A scope is shown where
// it is not the default one.
type (
	head struct {
		Kind Kind
		Name string `json:",omitempty"`
	}
	tail struct {
		Meta        map[string]string `json:",omitempty"`
		Namespace   string            `json:",omitempty"`
		Partition   string            `json:",omitempty"`
		CreateIndex uint64
		ModifyIndex uint64
	}
	hash struct{ Hash uint64 }
)

// View returns e as clients see it, for filters: a struct with all fields of its kind. An entry of
// which only the kind is set is an example of its type.
func (e *Entry) View() any {
	h, t := head{e.Kind, e.Name}, tail{e.Meta, unlessDefault(e.Namespace), unlessDefault(e.Partition), e.CreateIndex, e.ModifyIndex}
	switch c := e.content().(type) {
	case *ServiceDefaults:
		return struct {
			head
			ServiceDefaults
			tail
		}{h, *c, t}
	case *ProxyDefaults:
		return struct {
			head
			ProxyDefaults
			tail
		}{h, *c, t}
	case *ServiceIntentions:
		return struct {
			head
			ServiceIntentions
			tail
		}{h, c.shown(e.Scope), t}
	case *Mesh:
		return struct {
			head
			Mesh
			tail
		}{h, *c, t}
	case *ExportedServices:
		return struct {
			head
			ExportedServices
			tail
		}{h, c.shown(), t}
	}
	panic("configentry: kind " + string(e.Kind)) // content knows no other
}

// MarshalJSON implements json.Marshaler: the fields of the entry's kind beside the common ones,
// and Hash.
func (e *Entry) MarshalJSON() ([]byte, error) {
	shown := *e
	own, err := json.Marshal(shown.View())
	if err != nil {
		return nil, err
	}
	sum, err := json.Marshal(hash{shown.Hash()})
	if err != nil {
		return nil, err
	}
	return append(append(own[:len(own)-1], ','), sum[1:]...), nil
}

// Hash returns a number that changes with the content: the fields without the indexes.
func (e *Entry) Hash() uint64 {
	plain := *e
	plain.CreateIndex, plain.ModifyIndex = 0, 0
	text, err := json.Marshal(plain.View())
	if err != nil {
		panic("configentry: " + err.Error()) // of what was decoded from JSON
	}
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}

func unlessDefault(name string) string {
	if name == tenancy.DefaultName {
		return ""
	}
	return name
}
