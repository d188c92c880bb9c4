package awsiam

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// headers is a header map as a caller signed it, by canonical name.
type headers map[string][]string

// amazonHeaders are the X-Amz- headers that any request may have.
var amazonHeaders = []string{
	"X-Amz-Algorithm", "X-Amz-Content-Sha256", "X-Amz-Credential", "X-Amz-Date",
	"X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-Signedheaders",
}

// signable are the headers that may be among the signed ones, and so are sent
// on. Whatever else a caller adds is either refused or dropped.
var signable = []string{
	"Accept", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Content-Length", "Content-Type", "User-Agent",
	"X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Security-Token",
	canonical(serverIDHeader), canonical(entityMethodHeader), canonical(entityURLHeader),
	canonical(entityHeadersHeader), canonical(entityBodyHeader),
}

func canonical(name string) string { return textproto.CanonicalMIMEHeaderKey(name) }

// decodeHeaders reads a JSON object of lists of strings. The same name twice, in whatever
// capitals, is an error.
func decodeHeaders(data []byte) (headers, error) {
	var in map[string][]string
	if err := decodeJSON(data, &in); err != nil {
		return nil, err
	}
	h := make(headers, len(in))
	for name, values := range in {
		h[canonical(name)] = values
	}
	return h, nil
}

// one returns the value of a header that must be there once. name is spelled as in errors.
func (h headers) one(name string) (string, error) {
	values, ok := h[canonical(name)]
	if !ok {
		return "", errs.Errorf(errs.Invalid, "missing header %q", name)
	}
	if len(values) != 1 {
		return "", errs.Errorf(errs.Invalid, "invalid value for header %q (expected 1 item)", name)
	}
	return values[0], nil
}

// checkAmazonNames refuses X-Amz- headers other than the usual ones and allowed (row 11).
func (h headers) checkAmazonNames(allowed []string) error {
	for name := range h {
		if !strings.HasPrefix(name, "X-Amz-") || slices.Contains(amazonHeaders, name) {
			continue
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return canonical(a) == name }) {
			return errs.Errorf(errs.Invalid, "invalid request header: %s", clip(name))
		}
	}
	return nil
}

// entityRequest returns the request for the caller's role or user that the
// headers embed (rows 12 to 18).
func (h headers) entityRequest(iam service) (*signedRequest, error) {
	var values [4]string
	for i, name := range []string{entityMethodHeader, entityURLHeader, entityHeadersHeader, entityBodyHeader} {
		var err error
		if values[i], err = h.one(name); err != nil {
			return nil, err
		}
	}
	inner, err := decodeHeaders([]byte(values[2]))
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "%w", err)
	}
	target, err := parseTarget(values[1])
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "%w", err)
	}
	if err := iam.check(target); err != nil {
		return nil, err
	}
	r := &signedRequest{target: target, header: inner}
	if err := r.setEntityBody(values[3]); err != nil {
		return nil, err
	}
	if q := queryOf(target); q != "" {
		return nil, errs.Errorf(errs.Invalid, "URL query parameters are not allowed for IAM entity requests: found %q", clip(q))
	}
	if values[0] != http.MethodPost {
		return nil, errs.Errorf(errs.Invalid, "iam_request_headers[%s] must be POST", entityMethodHeader)
	}
	return r, inner.checkAmazonNames(nil)
}

// isHeaderValue reports whether s can be sent as a header's value as it is.
func isHeaderValue(s string) bool {
	return s == strings.TrimSpace(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// value returns the value of a signed header, which must be there once and clean.
func (h headers) value(name string) (string, error) {
	v, err := h.one(name)
	if err == nil && !isHeaderValue(v) {
		err = errs.Errorf(errs.Invalid, "invalid request header: %s", name)
	}
	return v, err
}

// isMedia reports whether a Content-Type value says media, whatever its parameters.
func isMedia(value, media string) bool {
	got, _, _ := strings.Cut(value, ";")
	return strings.EqualFold(strings.TrimSpace(got), media)
}

// errNotSigned says that a header must be among the signed ones.
func errNotSigned(name string) error {
	return errs.Errorf(errs.Invalid, "header %q wasn't signed", name)
}
