package httpapi

import (
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/lictor/lictor/internal/audit"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/uuid"
)

// Bounds on what an event shows of a request.
const (
	maxAuditBody   = 64 << 10 // bytes of a body that is looked into
	maxAuditJSON   = 16 << 10 // bytes that it may become
	maxAuditParams = 32
	maxParamName   = 32 // bytes, of a parameter that no route knows
)

// shownParams are the query parameters whose values are no secrets.
var shownParams = wordSet(`acquire after ap by destination source source-type authmethod authmethod-ns cached cas connect consistent dc enable expanded
	filter flags force format hash health id index keys limit local-only loglevel logjson merge-central-config name namespace near
	node node-meta ns partition passing pem policy pretty prune raw recurse relay-factor release replace-existing-checks role seconds
	separator servicename stale status tag type verify wait wan`)

// shownKeys are the keys of bodies whose values are no secrets, in lower case. The
// texts of all others are hashed, so that a new key is safe until somebody lists it.
var shownKeys = wordSet(`accessorid action address authmethod authmethodnamespace behavior bindname bindtype boundiamprincipalarns
	checkid clientcerturi createdat datacenter datacenters description destinationname destinationns destinationpartition displayname entitytags
	expirationtime expirationttl iamentitytags id intermediatecertttl
	interval kind kv.key leafcertttl lockdelay maxtokenttl method mode name namespace node nodeid nodename partition policyid protocol provider resource
	rootcertttl rules selector segment service
	serviceid servicename sourcename sourcens sourcepartition sourcetype status tags target templateid templatename timeout tokenlocality ttl type
	updatedat verb`)

// freeKeys are the keys of objects whose own keys are anybody's choice, so that nothing below is shown.
var freeKeys = wordSet(`header meta nodemeta opaqueconfig`)

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// scrubber keeps secrets out of events: where a value may be one, its hash stands instead.
type scrubber struct {
	hash  func(string) string
	token logging.Secret // that the request carries; it is found wherever else it is written
}

// text returns s without the request's token.
func (s scrubber) text(text string) string { return audit.Scrub(text, s.token, s.hash) }

// path returns a path of no known route without what looks like a secret.
func (s scrubber) path(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if uuid.Valid(part) {
			parts[i] = s.hash(part)
		}
	}
	return strings.Join(parts, "/")
}

// query returns what an event shows of a query. What cannot be read is left out.
func (s scrubber) query(raw string) map[string][]string {
	if raw == "" {
		return nil
	}
	values, _ := url.ParseQuery(raw)
	shown := make(map[string][]string, len(values))
	for name, list := range values {
		if len(shown) == maxAuditParams {
			break
		}
		name, known := s.param(name)
		if len(list) > maxAuditParams {
			list = list[:maxAuditParams]
		}
		for _, v := range list {
			switch {
			case strings.EqualFold(name, "token"):
				v = logging.Hidden
			case !known && v != "":
				v = s.hash(v)
			}
			shown[name] = append(shown[name], s.text(v))
		}
	}
	return shown
}

// param returns what stands for the name of a parameter, and whether its value may be shown.
func (s scrubber) param(name string) (shown string, known bool) {
	if shownParams[name] {
		return name, true
	}
	if len(name) > maxParamName || uuid.Valid(name) {
		return s.hash(name), false
	}
	return s.text(name), false
}

// proxyHeaders are the request headers that an event shows (spec: audit.md section 2).
var proxyHeaders = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

func (s scrubber) headers(h http.Header) http.Header {
	var shown http.Header
	for _, name := range proxyHeaders {
		for i, v := range h.Values(name) {
			if shown == nil {
				shown = http.Header{}
			}
			if i < maxAuditParams {
				shown.Add(name, s.text(v))
			}
		}
	}
	return shown
}

// auditBody keeps the beginning of a body as it is read, and its hash. A nil one is of a
// request whose events do not show its body.
type auditBody struct {
	io.ReadCloser
	closed bool // it is somebody's value: its content is not looked into

	mu   sync.Mutex // guards what follows: a request that is passed on is read elsewhere
	sum  hash.Hash
	head []byte
	size int64
	log  *audit.Log
}

func newAuditBody(r *http.Request, row *route, log *audit.Log) *auditBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 || row == nil || row.options&longBody != 0 {
		return nil
	}
	return &auditBody{ReadCloser: r.Body, closed: row.options&(kvBody|eventBody) != 0, sum: log.NewHash(), log: log}
}

// request returns r with the body that is kept.
func (b *auditBody) request(r *http.Request) *http.Request {
	if b == nil {
		return r
	}
	out := *r
	out.Body = b
	return &out
}

// Read implements io.Reader.
func (b *auditBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size += int64(n)
	b.sum.Write(p[:n])
	if keep := min(n, maxAuditBody+1-len(b.head)); keep > 0 {
		b.head = append(b.head, p[:keep]...)
	}
	return n, err
}

// describe returns what an event shows of the body, as JSON: its content without secrets, or
// for what is no small JSON object, its hash and size. nil is nothing.
func (b *auditBody) describe(s scrubber) []byte {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size == 0 {
		return nil
	}
	if len(b.head) <= maxAuditBody && !b.closed && (b.head[0] == '{' || b.head[0] == '[') {
		var content any
		if json.Unmarshal(b.head, &content) == nil {
			if shown, err := json.Marshal(s.value("", "", content)); err == nil && len(shown) <= maxAuditJSON {
				return shown
			}
		}
	}
	return []byte(`{"hash":"` + b.log.SumHash(b.sum) + `","bytes":` + strconv.FormatInt(b.size, 10) + `}`)
}

// value returns v, of key in an object that is the value of parent, with each text that may be a secret hashed.
func (s scrubber) value(parent, key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		shown := make(map[string]any, len(v))
		for name, inner := range v {
			if freeKeys[parent] || freeKeys[key] {
				name = s.text(name)
				shown[name] = s.value("meta", "", inner)
				continue
			}
			shown[s.text(name)] = s.value(key, strings.ToLower(name), inner)
		}
		return shown
	case []any:
		for i := range v {
			v[i] = s.value(parent, key, v[i])
		}
		return v
	case string:
		if v == "" || !freeKeys[parent] && (shownKeys[key] || shownKeys[parent+"."+key]) {
			return s.text(v)
		}
		return s.hash(v)
	}
	return v
}
