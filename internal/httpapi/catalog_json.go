package httpapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/tenancy"
)

// appender is an answer that encodes itself, for lists that are asked for all the
// time: several times as fast as encoding/json, with the same result.
type appender interface {
	// appendJSON appends the JSON of the answer. Free-form data may fail to encode.
	appendJSON(b []byte) ([]byte, error)
}

// shared is an answer that is encoded once for all that are given it.
type shared interface {
	body() ([]byte, error)
	gzipped() ([]byte, error)
}

type (
	nodeList     []*catalog.Node
	checkList    []*catalog.Check
	healthList   []endpoint.ServiceHealth
	sharedHealth struct{ *endpoint.HealthAnswer }
	serviceList  struct{ *endpoint.NodeServices } // of a node; nil is no node
	serviceMap   struct{ *endpoint.NodeServices }
)

func (list nodeList) appendJSON(b []byte) ([]byte, error) {
	return appendList(b, list, func(b []byte, n *catalog.Node) ([]byte, error) { return appendNode(b, n), nil })
}

func (list checkList) appendJSON(b []byte) ([]byte, error) { return appendList(b, list, appendCheck) }

func (list healthList) appendJSON(b []byte) ([]byte, error) {
	return appendList(b, list, func(b []byte, e endpoint.ServiceHealth) ([]byte, error) {
		b = append(b, `{"Node":`...)
		b = appendNode(b, e.Node)
		b = append(b, `,"Service":`...)
		b, err := appendService(b, e.Service)
		if err != nil {
			return nil, err
		}
		b = append(b, `,"Checks":`...)
		b, err = checkList(e.Checks).appendJSON(b)
		return append(b, '}'), err
	})
}

func (s sharedHealth) body() ([]byte, error) {
	return s.JSON.Do(func() ([]byte, error) {
		buffer, _ := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		text, err := encode(buffer, healthList(s.Rows))
		return bytes.Clone(text), err
	})
}

func (s sharedHealth) gzipped() ([]byte, error) {
	return s.Gzip.Do(func() ([]byte, error) {
		body, err := s.body()
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		compress(&out, body)
		return out.Bytes(), nil
	})
}

func (list serviceList) appendJSON(b []byte) ([]byte, error) {
	if list.NodeServices == nil {
		return append(b, `{"Node":null,"Services":null}`...), nil
	}
	b = append(b, `{"Node":`...)
	b = appendNode(b, list.Node)
	b = append(b, `,"Services":`...)
	b, err := appendList(b, list.Services, appendService)
	return append(b, '}'), err
}

func (m serviceMap) appendJSON(b []byte) ([]byte, error) {
	if m.NodeServices == nil {
		return append(b, "null"...), nil
	}
	b = append(b, `{"Node":`...)
	b = appendNode(b, m.Node)
	b = append(b, `,"Services":{`...)
	for i, s := range m.Services {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, s.ID), ':')
		var err error
		if b, err = appendService(b, s); err != nil {
			return nil, err
		}
	}
	return append(b, "}}"...), nil
}

// appendNode appends a node as catalog.md section 2 shows it.
func appendNode(b []byte, n *catalog.Node) []byte {
	b = appendString(append(b, `{"ID":`...), n.ID)
	b = appendString(append(b, `,"Node":`...), n.Node)
	b = appendString(append(b, `,"Address":`...), n.Address)
	b = appendString(append(b, `,"Datacenter":`...), n.Datacenter)
	b = appendMap(append(b, `,"TaggedAddresses":`...), n.TaggedAddresses)
	b = appendMap(append(b, `,"Meta":`...), n.Meta)
	b = appendLocality(b, n.Locality)
	return appendIndexes(b, tenancy.Scope{Partition: n.Partition, Namespace: tenancy.DefaultName}, n.CreateIndex, n.ModifyIndex)
}

// appendService appends an instance as it is shown on its node.
func appendService(b []byte, s *catalog.Service) ([]byte, error) {
	b = append(b, '{')
	if s.Kind != "" {
		b = append(appendString(append(b, `"Kind":`...), string(s.Kind)), ',')
	}
	b = appendString(append(b, `"ID":`...), s.ID)
	b = appendString(append(b, `,"Service":`...), s.Service)
	b = appendStrings(append(b, `,"Tags":`...), s.Tags)
	b = appendString(append(b, `,"Address":`...), s.Address)
	b = appendServiceAddresses(b, s.TaggedAddresses)
	b = appendMap(append(b, `,"Meta":`...), s.Meta)
	b = strconv.AppendInt(append(b, `,"Port":`...), int64(s.Port), 10)
	if s.SocketPath != "" {
		b = appendString(append(b, `,"SocketPath":`...), s.SocketPath)
	}
	b = strconv.AppendInt(append(b, `,"Weights":{"Passing":`...), int64(s.Weights.Passing), 10)
	b = strconv.AppendInt(append(b, `,"Warning":`...), int64(s.Weights.Warning), 10)
	b = strconv.AppendBool(append(b, `},"EnableTagOverride":`...), s.EnableTagOverride)
	b, err := appendProxy(append(b, `,"Proxy":`...), &s.Proxy)
	if err != nil {
		return nil, err
	}
	b = append(b, `,"Connect":{`...)
	if s.Connect.Native {
		b = append(b, `"Native":true`...)
	}
	b = append(b, `},"PeerName":""`...)
	b = appendLocality(b, s.Locality)
	return appendIndexes(b, s.Scope, s.CreateIndex, s.ModifyIndex), nil
}

func appendServiceAddresses(b []byte, m map[string]catalog.ServiceAddress) []byte {
	if len(m) == 0 {
		return b
	}
	b = append(b, `,"TaggedAddresses":`...)
	return append(appendSorted(b, m, func(b []byte, a catalog.ServiceAddress) []byte {
		b = appendString(append(b, `{"Address":`...), a.Address)
		b = strconv.AppendInt(append(b, `,"Port":`...), int64(a.Port), 10)
		return append(b, '}')
	}), '}')
}

// appendProxy leaves to encoding/json what only proxies have.
func appendProxy(b []byte, p *catalog.Proxy) ([]byte, error) {
	if reflect.ValueOf(p).Elem().IsZero() {
		return append(b, `{"Mode":"","MeshGateway":{},"Expose":{}}`...), nil
	}
	proxy, err := json.Marshal(p)
	return append(b, proxy...), err
}

func appendLocality(b []byte, l *catalog.Locality) []byte {
	if l == nil {
		return b
	}
	b = appendString(append(b, `,"Locality":{"Region":`...), l.Region)
	return append(appendString(append(b, `,"Zone":`...), l.Zone), '}')
}

// appendCheck appends a check as catalog.md section 3 shows it.
func appendCheck(b []byte, c *catalog.Check) ([]byte, error) {
	return appendCheckWith(b, c, appendStrings)
}

func appendCheckWith(b []byte, c *catalog.Check, appendTags func([]byte, []string) []byte) ([]byte, error) {
	b = appendString(append(b, `{"Node":`...), c.Node)
	b = appendString(append(b, `,"CheckID":`...), c.CheckID)
	b = appendString(append(b, `,"Name":`...), c.Name)
	b = appendString(append(b, `,"Status":`...), c.Status)
	b = appendString(append(b, `,"Notes":`...), c.Notes)
	b = appendString(append(b, `,"Output":`...), c.Output)
	b = appendString(append(b, `,"ServiceID":`...), c.ServiceID)
	b = appendString(append(b, `,"ServiceName":`...), c.ServiceName)
	b = appendTags(append(b, `,"ServiceTags":`...), c.ServiceTags)
	b = appendString(append(b, `,"Type":`...), c.Type)
	b = appendString(append(b, `,"Interval":`...), c.Interval)
	b = appendString(append(b, `,"Timeout":`...), c.Timeout)
	b = strconv.AppendInt(append(b, `,"ExposedPort":`...), int64(c.ExposedPort), 10)
	b = append(b, `,"Definition":`...)
	if reflect.ValueOf(&c.Definition).Elem().IsZero() {
		b = append(b, "{}"...)
	} else {
		definition, err := json.Marshal(newCheckDefinition(&c.Definition))
		if err != nil {
			return nil, err
		}
		b = append(b, definition...)
	}
	return appendIndexes(b, c.Scope, c.CreateIndex, c.ModifyIndex), nil
}

// checkDefinition shows a definition with its durations as text, "10s".
type checkDefinition struct {
	*catalog.CheckDefinition
	Interval                       string `json:",omitempty"`
	Timeout                        string `json:",omitempty"`
	DeregisterCriticalServiceAfter string `json:",omitempty"`
}

func newCheckDefinition(d *catalog.CheckDefinition) checkDefinition {
	return checkDefinition{d, durationText(d.Interval), durationText(d.Timeout), durationText(d.DeregisterCriticalServiceAfter)}
}

func durationText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// appendIndexes appends the end of an object: its scope, where it is not the
// default one, and its indexes.
func appendIndexes(b []byte, s tenancy.Scope, create, modify uint64) []byte {
	if name := unlessDefault(s.Namespace); name != "" {
		b = appendString(append(b, `,"Namespace":`...), name)
	}
	if name := unlessDefault(s.Partition); name != "" {
		b = appendString(append(b, `,"Partition":`...), name)
	}
	b = strconv.AppendUint(append(b, `,"CreateIndex":`...), create, 10)
	b = strconv.AppendUint(append(b, `,"ModifyIndex":`...), modify, 10)
	return append(b, '}')
}

// unlessDefault is how a partition or namespace is shown where its absence means default.
func unlessDefault(name string) string {
	if name == tenancy.DefaultName {
		return ""
	}
	return name
}

func appendList[E any](b []byte, list []E, one func([]byte, E) ([]byte, error)) ([]byte, error) {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = one(b, e); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func appendMap(b []byte, m map[string]string) []byte {
	return append(appendSorted(b, m, appendString), '}')
}

// appendSorted appends an object, all but its last brace, with its keys in order.
func appendSorted[V any](b []byte, m map[string]V, one func([]byte, V) []byte) []byte {
	var few [8]string
	keys := few[:0]
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(append(appendString(b, key), ':'), m[key])
	}
	return b
}

// appendString appends a string as encoding/json does.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // of a string, never fails
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
