package httpapi

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/endpoint"
)

const (
	minGzip      = 1024             // bytes; less is not worth compressing
	writeTimeout = 30 * time.Second // for an answer that is ready
	ownLength    = 2048             // bytes; net/http itself says how long an answer up to this is, and keeps no header for it
)

// What many answers have in their headers, made once. Nobody changes a value in place.
var (
	valueJSON     = []string{"application/json"}
	valueVary     = []string{"Accept-Encoding"}
	valueNoSniff  = []string{"nosniff"}
	valueAllow    = []string{"allow"}
	valueDeny     = []string{"deny"}
	valueTrue     = []string{"true"}
	valueZero     = []string{"0"}
	valueBlocking = []string{"blocking-query"}
)

// empty is the answer 200 without a body.
type empty struct{}

// document is an answer that is no JSON.
type document struct{ contentType, text string }

// coded is an answer with a status other than 200: a document, or anything else as JSON.
type coded struct {
	code int
	body any
}

// succeed answers 200 with v as JSON: compact without a newline, or with four
// spaces and a newline for ?pretty.
func (a *API) succeed(w http.ResponseWriter, r *request, v any) {
	if v == (empty{}) {
		w.WriteHeader(http.StatusOK)
		return
	}
	switch v := v.(type) {
	case document:
		writeDocument(w, http.StatusOK, v)
		return
	case stream:
		v(w)
		return
	}
	code := http.StatusOK
	if c, ok := v.(coded); ok {
		if d, ok := c.body.(document); ok {
			writeDocument(w, c.code, d)
			return
		}
		code, v = c.code, c.body
	}
	buffer, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	body, err := encode(buffer, v)
	if err != nil {
		a.fail(w, r.Request, err)
		return
	}
	if a.Dev || r.query.Has("pretty") {
		var indented bytes.Buffer
		_ = json.Indent(&indented, body, "", "    ") // of what Marshal made
		indented.WriteByte('\n')
		body, v = indented.Bytes(), nil
	}
	h := w.Header()
	h["Content-Type"] = valueJSON
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // where it can be set
	if len(body) < minGzip || !acceptsGzip(r.Header) {
		if len(body) > ownLength {
			h.Set("Content-Length", strconv.Itoa(len(body)))
		}
		writeWhole(w, r.Request, code, body)
		return
	}
	h.Set("Content-Encoding", "gzip")
	if s, ok := v.(shared); ok {
		if text, err := s.gzipped(); err == nil {
			h.Set("Content-Length", strconv.Itoa(len(text)))
			writeWhole(w, r.Request, code, text)
			return
		}
	}
	w.WriteHeader(code)
	compress(w, body)
}

// compress writes text to w with gzip. What w does not take is lost.
func compress(w io.Writer, text []byte) {
	z, _ := gzips.Get().(*gzip.Writer)
	defer gzips.Put(z)
	z.Reset(w)
	_, _ = z.Write(text)
	_ = z.Close()
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxKept is how large a buffer of an answer may be to be used again.
const maxKept = 256 << 10

// encode returns v as JSON, in buffer where v encodes itself.
func encode(buffer *[]byte, v any) ([]byte, error) {
	if s, ok := v.(shared); ok {
		return s.body()
	}
	own, ok := v.(appender)
	if !ok {
		return json.Marshal(v)
	}
	body, err := own.appendJSON((*buffer)[:0])
	if cap(body) <= maxKept {
		*buffer = body
	}
	return body, err
}

var gzips = sync.Pool{New: func() any { return gzip.NewWriter(io.Discard) }}

// acceptsGzip reports whether a caller accepts gzip (RFC 9110 section 12.5.3).
func acceptsGzip(h http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			return err != nil || q > 0
		}
	}
	return false
}

// readHeaders sets the headers of a read's answer (catalog.md section 1.1).
func readHeaders(h http.Header, m endpoint.Meta) {
	h["X-Consul-Index"] = []string{strconv.FormatUint(max(m.Index, 1), 10)}
	h["X-Consul-Knownleader"], h["X-Consul-Lastcontact"] = valueTrue, valueZero
	if !m.KnownLeader {
		h.Set("X-Consul-Knownleader", "false")
	}
	if contact := m.LastContact.Milliseconds(); contact != 0 {
		h.Set("X-Consul-Lastcontact", strconv.FormatInt(contact, 10))
	}
	h["X-Consul-Query-Backend"] = valueBlocking
	if m.NextPage != "" {
		h.Set("X-Lictor-Next-Page", m.NextPage)
	}
	if m.FilteredByACLs {
		h.Set("X-Consul-Results-Filtered-By-Acls", "true")
	}
}

// writeText answers with plain text.
func writeText(w http.ResponseWriter, code int, text string) {
	writeDocument(w, code, document{"text/plain; charset=utf-8", text})
}

func writeDocument(w http.ResponseWriter, code int, d document) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // where it can be set
	w.Header().Set("Content-Type", d.contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(d.text)))
	w.WriteHeader(code)
	_, _ = io.WriteString(w, d.text)
}
