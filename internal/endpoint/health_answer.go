package endpoint

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/tenancy"
)

// HealthAnswer is the instances of a service with their health, as all see it who have the same
// rights and ask the same at the same index: when a change wakes thousands, it is
// looked up and encoded once. It is shared and read-only.
type HealthAnswer struct {
	Rows []ServiceHealth

	JSON Memo // of Rows
	Gzip Memo // of JSON

	once   sync.Once
	hidden bool // there is more that these rights do not show
	err    error
}

// Memo is what an edge makes of an answer, made once for all that are given it.
type Memo struct {
	once sync.Once
	text []byte
	err  error
}

// Do returns what the first call's encode has returned, which nobody may change.
func (m *Memo) Do(encode func() ([]byte, error)) ([]byte, error) {
	m.once.Do(func() {
		m.err = errUnfinished
		m.text, m.err = encode()
	})
	return m.text, m.err
}

// errUnfinished stays where the one that had to finish has panicked.
var errUnfinished = errors.New("the answer was not finished")

// knownAnswers bounds how many answers can be found again.
const knownAnswers = 4096

// healthKey is what an answer depends on. The index is that of all it is made of.
type healthKey struct {
	content    <-chan struct{}
	index      uint64
	authorizer *acl.Authorizer
	scope      tenancy.Scope
	name       string
	tags       string
	nodeMeta   string
	filter     string
	passing    bool
	connect    bool
	central    bool
	importer   string
}

// healthAnswers finds answers that somebody still uses, or has used a moment ago: the garbage
// collector decides how long they are kept. The zero value is empty.
type healthAnswers struct {
	once  sync.Once
	known *generations[healthKey, weak.Pointer[HealthAnswer]]
}

// of returns the answer to v at index. What is sorted for one caller is not shared.
func (h *healthAnswers) of(v *view, index uint64) *HealthAnswer {
	if v.Near != "" {
		return &HealthAnswer{}
	}
	h.once.Do(func() { h.known = newGenerations[healthKey, weak.Pointer[HealthAnswer]](knownAnswers) })
	k := healthKey{
		content: v.tx.Abandoned(), index: index, authorizer: v.who.Authorizer,
		scope: v.Scope, name: v.Name, tags: joinKey(v.Tags), nodeMeta: joinKey(v.NodeMeta),
		filter: v.Filter, passing: v.Passing, connect: v.Connect, central: v.Central, importer: v.importer(),
	}
	if kept, ok := h.known.get(k); ok {
		if a := kept.Value(); a != nil {
			return a
		}
	}
	a := &HealthAnswer{}
	h.known.put(k, weak.Make(a))
	return a
}

// joinKey returns different texts for different lists.
func joinKey(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\x00") + "\x00"
}

// fill looks the answer up, if nobody has yet.
func (a *HealthAnswer) fill(v *view) error {
	a.once.Do(func() {
		a.err = errUnfinished
		a.err = a.find(v)
		a.hidden = v.hidden
	})
	v.who.Allowed(v.Scope, acl.ServiceRead, v.Name) // as was decided for these rights when it was looked up
	v.hidden = a.hidden
	return a.err
}

func (a *HealthAnswer) find(v *view) error {
	a.Rows = []ServiceHealth{}
	return v.eachInstance(func(i *catalog.Instance, n *catalog.Node) error {
		checks, err := v.tx.InstanceChecks(nil, i)
		if err != nil || v.Passing && slices.ContainsFunc(checks, notPassing) {
			return err
		}
		row := ServiceHealth{Node: n, Service: &i.Service, Checks: checks}
		if v.filter.All() || v.filter.Match(&row) {
			a.Rows = append(a.Rows, row)
		}
		return nil
	})
}
