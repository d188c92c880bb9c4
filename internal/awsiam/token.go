package awsiam

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// Limits on what is read before anything is known about its maker.
const (
	maxBearer = 64 << 10 // bytes of a bearer token
	maxURL    = 2048     // bytes
	maxDepth  = 4        // nesting of JSON; three levels are in use
	maxAge    = 15 * time.Minute
)

// login is a bearer token, taken apart and checked.
type login struct {
	sts *signedRequest
	iam *signedRequest // nil without entity details
}

// claimed returns who the token says that its maker is: the IAM request about themselves, or the
// access key. Nothing of it is proven.
func (l *login) claimed() string {
	if l.iam != nil {
		return l.iam.body
	}
	return l.sts.auth.accessKeyID
}

// parse checks bearer in the order, and with the texts, of authmethods.md
// section 4.5, rows 1 to 23, and then what [hardening] adds. It returns
// errs.Invalid, or errs.Denied for another server's id and for a date out of range.
func (v *verifier) parse(bearer logging.Secret) (*login, error) {
	if len(bearer) > maxBearer {
		return nil, errs.Errorf(errs.Invalid, "invalid token: longer than %d bytes", maxBearer)
	}
	target, body, header, err := unwrap([]byte(bearer.Reveal()), v.sts)
	if err != nil {
		return nil, err
	}
	l := &login{sts: &signedRequest{action: actionGetCallerIdentity, target: target, header: header}}
	if err := l.sts.setBody(body); err != nil {
		return nil, errs.Errorf(errs.Invalid, "iam_request_body error: %w", err)
	}
	if q := queryOf(target); q != "" {
		return nil, errs.Errorf(errs.Invalid, "URL query parameters are not allowed for security reasons: found %q", clip(q))
	}
	if err := header.checkAmazonNames(v.settings.AllowedSTSHeaderValues); err != nil {
		return nil, err
	}
	if v.settings.EnableIAMEntityDetails {
		if l.iam, err = header.entityRequest(v.iam); err != nil {
			return nil, err
		}
	}
	for _, r := range []*signedRequest{l.sts, l.iam} {
		if r == nil {
			continue
		}
		if err := r.checkServerID(v.settings.ServerIDHeaderValue); err != nil {
			return nil, err
		}
	}
	if err := l.seal(v); err != nil {
		return nil, err
	}
	return l, nil
}

// seal checks both signatures' form and scope, and sets what will be sent.
func (l *login) seal(v *verifier) error {
	var bound []string
	if l.iam != nil {
		bound = []string{entityMethodHeader, entityURLHeader, entityHeadersHeader, entityBodyHeader}
	}
	if err := l.sts.seal("sts", bound, v.settings.AllowedSTSHeaderValues, v.now()); err != nil {
		return err
	}
	if l.iam == nil {
		return nil
	}
	return l.iam.seal("iam", nil, nil, v.now())
}

// unwrap takes a bearer token out of its JSON and base64 (rows 1 to 6).
func unwrap(data []byte, sts service) (target *url.URL, body string, header headers, err error) {
	fail := func(err error) (*url.URL, string, headers, error) {
		return nil, "", nil, errs.Errorf(errs.Invalid, "invalid token: %w", err)
	}
	var outer bearerToken
	if err := decodeJSON(data, &outer); err != nil {
		return fail(err)
	}
	var parts [3][]byte
	for i, text := range []string{outer.URL, outer.Headers, outer.Body} {
		if parts[i], err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
			return fail(err)
		}
	}
	if header, err = decodeHeaders(parts[1]); err != nil {
		return fail(err)
	}
	if target, err = parseTarget(string(parts[0])); err != nil {
		return fail(err)
	}
	if outer.Method != http.MethodPost {
		return nil, "", nil, errs.New(errs.Invalid, "iam_http_request_method must be POST")
	}
	if err := sts.check(target); err != nil {
		return nil, "", nil, err
	}
	return target, string(parts[2]), header, nil
}

// parseTarget reads the URL that a caller signed. Its query is for queryOf to see.
func parseTarget(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || len(text) > maxURL {
		return nil, fmt.Errorf("url is invalid: %q", clip(text))
	}
	if u.Fragment == "" && strings.Contains(text, "#") {
		u.Fragment = "#"
	}
	return u, nil
}

// queryOf returns what of u could change the meaning of the body: AWS lets
// parameters of the URL override those of the body.
func queryOf(u *url.URL) string {
	switch {
	case u.RawQuery != "":
		return u.RawQuery
	case u.ForceQuery:
		return "?"
	}
	return u.Fragment
}

// decodeJSON is json.Unmarshal for data that must not say anything twice.
func decodeJSON(data []byte, into any) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

// checkJSON refuses nesting deeper than maxDepth, and objects with the same key twice
// in whatever capitals. Other faults are left to json.Unmarshal, for its text.
func checkJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	type object struct {
		keys  map[string]bool // nil for an array
		isKey bool            // the next token is a key
	}
	var stack []object
	for {
		token, err := dec.Token()
		if err != nil {
			return nil
		}
		top := len(stack) - 1
		if delim, ok := token.(json.Delim); ok && (delim == '}' || delim == ']') {
			stack = stack[:top]
			continue
		}
		if top >= 0 && stack[top].keys != nil {
			if stack[top].isKey {
				folded := strings.ToLower(strings.ToUpper(token.(string))) // as encoding/json folds
				if stack[top].keys[folded] {
					return fmt.Errorf("duplicate key %q", clip(token.(string)))
				}
				stack[top].keys[folded] = true
			}
			stack[top].isKey = !stack[top].isKey
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, object{keys: map[string]bool{}, isKey: true})
		case json.Delim('['):
			stack = append(stack, object{})
		}
		if len(stack) > maxDepth {
			return fmt.Errorf("nested more than %d deep", maxDepth)
		}
	}
}

// clip shortens text of a caller's for an error.
func clip(text string) string {
	const limit = 200
	if len(text) > limit {
		return text[:limit] + "…"
	}
	return text
}
