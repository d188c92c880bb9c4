package audit

import (
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/lictor/lictor/internal/uuid"
)

// maxText is how many bytes of a single value an event shows.
const maxText = 2048

// Request is what an event says about an operation. No field may hold a secret.
type Request struct {
	ID          string // the same in both events, and on every agent that the request passes
	Action      string // what the route table calls the operation; empty for no route
	Method      string
	Endpoint    string // the clean, decoded path
	RemoteAddr  string
	UserAgent   string
	Host        string
	ForwardedBy string              // the agent that has passed the request on, and has its own events of it
	Query       map[string][]string // by parameter
	Headers     http.Header
}

// Result is how an operation ended.
type Result struct {
	Status int // 0 is none: the connection ended
	Error  string
	Body   []byte // the request's, as JSON without secrets; nil leaves it out
	Login  *Login // of a login that proved an identity

	Endpoint string // in place of the request's; "" is the same
}

// Login is what a login has proven. Its JSON also travels between agents.
type Login struct {
	AuthMethod string `json:"auth_method"`
	Principal  string `json:"principal"`
	AccessorID string `json:"accessor_id,omitempty"` // of the token that was made; empty if it was refused
}

// The stages of an event.
const (
	stageStart    = "OperationStart"
	stageComplete = "OperationComplete"
)

// appendOpening begins an event, up to the payload's timestamp.
func appendOpening(b []byte, kind string, happened, now time.Time) []byte {
	b = append(b, `{"created_at":"`...)
	b = now.AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","event_type":"audit","payload":{"id":"`...)
	b = append(b, uuid.New()...)
	b = append(b, `","version":"1","type":"`...)
	b = append(b, kind...)
	b = append(b, `","timestamp":"`...)
	b = happened.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendStage ends an event. The chain closes it.
func appendStage(b []byte, stage string) []byte {
	b = append(b, `,"stage":"`...)
	b = append(b, stage...)
	return append(b, `"}`...)
}

// appendSubject adds who and what, which both events of an operation have in common. The
// request is left open.
func appendSubject(b []byte, r *Request, auth *Auth) []byte {
	if auth != nil {
		b = append(b, `,"auth":{`...)
		b = appendMember(b, "accessor_id", auth.AccessorID)
		b = appendMember(b, "description", auth.Description)
		if !auth.CreateTime.IsZero() {
			b = appendMember(b, "create_time", auth.CreateTime.Format(time.RFC3339Nano))
		}
		b = append(b, '}')
	}
	b = append(b, `,"request":{`...)
	b = appendMember(b, "operation", r.Method)
	b = appendMember(b, "endpoint", r.Endpoint)
	b = appendMember(b, "remote_addr", r.RemoteAddr)
	b = appendMember(b, "user_agent", r.UserAgent)
	b = appendMember(b, "host", r.Host)
	b = appendLists(b, "query_params", r.Query)
	b = appendLists(b, "headers", r.Headers)
	b = appendMember(b, "id", r.ID)
	b = appendMember(b, "action", r.Action)
	return appendMember(b, "forwarded_by", r.ForwardedBy)
}

// appendResult adds how it ended.
func appendResult(b []byte, r *Result) []byte {
	if r.Login != nil {
		b = append(b, `,"login":{`...)
		b = appendMember(b, "auth_method", r.Login.AuthMethod)
		b = appendMember(b, "principal", r.Login.Principal)
		b = appendMember(b, "accessor_id", r.Login.AccessorID)
		b = append(b, '}')
	}
	b = append(b, `,"response":{`...)
	if r.Status > 0 {
		b = appendMember(b, "status", strconv.Itoa(r.Status))
	}
	b = appendMember(b, "error", r.Error)
	return append(b, '}')
}

// appendName adds a member's name to the object that b ends in.
func appendName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, `":`...)
}

// appendMember adds a member to the object that b ends in, unless it is empty.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendText(appendName(b, name), value)
}

// appendLists adds an object whose values are a string, or a list where there are several.
func appendLists(b []byte, name string, values map[string][]string) []byte {
	if len(values) == 0 {
		return b
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b = append(appendName(b, name), '{')
	for _, key := range keys {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(appendText(b, key), ':')
		b = appendList(b, values[key])
	}
	return append(b, '}')
}

func appendList(b []byte, values []string) []byte {
	if len(values) == 1 {
		return appendText(b, values[0])
	}
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, v)
	}
	return append(b, ']')
}

// appendText adds s as a JSON string. A long one is cut and says by how much; bytes that
// are no UTF-8 become U+FFFD.
func appendText(b []byte, s string) []byte {
	rest := 0
	if len(s) > maxText {
		cut := maxText
		for cut > maxText-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		rest, s = len(s)-cut, s[:cut]
	}
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < ' ' || c == 0x7f:
			const hex = "0123456789abcdef"
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == '\u2028' || r == '\u2029' { // ends of a line to some readers
				b = append(b, `\u202`...)
				b = append(b, "89"[r-'\u2028'])
			} else {
				b = utf8.AppendRune(b, r)
			}
			i += size
		}
	}
	if rest > 0 {
		b = append(b, "… and "...)
		b = strconv.AppendInt(b, int64(rest), 10)
		b = append(b, " bytes"...)
	}
	return append(b, '"')
}
