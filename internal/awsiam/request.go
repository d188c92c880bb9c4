package awsiam

import (
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

// signedRequest is a request to AWS that a caller signed. After seal it holds
// nothing that was not checked.
type signedRequest struct {
	action string // GetCallerIdentity, GetRole or GetUser
	target *url.URL
	body   string
	header headers
	auth   authorization
	send   http.Header // what goes to AWS, set by seal
	signed time.Time
}

// parameter is one of a form's, in its order.
type parameter struct{ name, value string }

// setBody reads the form of a GetCallerIdentity request (rows 7 to 9).
func (r *signedRequest) setBody(text string) error {
	form, err := parseForm(text)
	if err != nil {
		return err
	}
	if err := checkForm(form, []string{"Action", "Version"}, []string{actionGetCallerIdentity}); err != nil {
		return err
	}
	r.body = encodeForm(form)
	return checkVersion(form, stsVersion)
}

// setEntityBody reads the form of a GetRole or GetUser request (rows 16 and 17).
func (r *signedRequest) setEntityBody(text string) error {
	form, err := parseForm(text)
	if err == nil {
		err = checkForm(form, []string{"Action", "RoleName", "UserName", "Version"}, []string{actionGetRole, actionGetUser})
	}
	if err == nil {
		err = checkVersion(form, iamVersion)
	}
	if err != nil {
		return errs.Errorf(errs.Invalid, "iam_request_headers[%s] error: %w", entityBodyHeader, err)
	}
	r.action = valuesOf(form, "Action")[0]
	want, other := "RoleName", "UserName"
	if r.action == actionGetUser {
		want, other = other, want
	}
	names := valuesOf(form, want)
	if len(names) != 1 || len(valuesOf(form, other)) != 0 || !isEntityName(names[0]) {
		return errs.Errorf(errs.Invalid, "iam_request_headers[%q] error: invalid request body %q", entityBodyHeader, clip(text))
	}
	r.body = encodeForm(form)
	return nil
}

// parseForm splits a form body. Names are taken as they stand: one that is
// percent-encoded or in other capitals is another name.
func parseForm(text string) ([]parameter, error) {
	var form []parameter
	for piece := range strings.SplitSeq(text, "&") {
		if piece == "" && text == "" {
			break
		}
		name, raw, _ := strings.Cut(piece, "=")
		value, err := url.QueryUnescape(raw)
		if err != nil {
			return nil, fmt.Errorf("%s", clip(err.Error()))
		}
		form = append(form, parameter{name, value})
	}
	return form, nil
}

func checkForm(form []parameter, names, actions []string) error {
	got := valuesOf(form, "Action")
	if len(got) == 0 {
		return fmt.Errorf("missing field %q", "Action")
	}
	for _, p := range form {
		if !slices.Contains(names, p.name) {
			return fmt.Errorf("unexpected field %q", clip(p.name))
		}
	}
	if len(got) != 1 || !slices.Contains(actions, got[0]) {
		return fmt.Errorf("unexpected value Action=%s", clip(fmt.Sprint(got)))
	}
	return nil
}

func checkVersion(form []parameter, version string) error {
	if got := valuesOf(form, "Version"); len(got) != 1 || got[0] != version {
		return fmt.Errorf("unexpected value Version=%s", clip(fmt.Sprint(got)))
	}
	return nil
}

func valuesOf(form []parameter, name string) []string {
	var values []string
	for _, p := range form {
		if p.name == name {
			values = append(values, p.value)
		}
	}
	return values
}

func encodeForm(form []parameter) string {
	pieces := make([]string, len(form))
	for i, p := range form {
		pieces[i] = p.name + "=" + url.QueryEscape(p.value)
	}
	return strings.Join(pieces, "&")
}

// isEntityName reports whether s can be the name of a role or user in IAM.
func isEntityName(s string) bool {
	return s != "" && len(s) <= 64 && isMadeOf(s, func(c byte) bool {
		return strings.IndexByte("_+=,.@-", c) >= 0 || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	})
}

// checkServerID demands that want, if any, stands in the signed server id header (rows 19 to 23).
func (r *signedRequest) checkServerID(want string) (err error) {
	if want != "" {
		got, err := r.header.one(serverIDHeader)
		if err != nil {
			return err
		}
		if got != want {
			return errs.Errorf(errs.Denied, "expected %q but got %q", want, clip(got))
		}
	}
	if r.auth, err = parseAuthorization(r.header); err != nil {
		return err
	}
	if want != "" && !r.auth.signs(serverIDHeader) {
		return errs.New(errs.Invalid, "header wasn't signed")
	}
	return nil
}

// seal checks the signature's scope, date and headers, and builds the headers to send: the signed
// ones and no others. bound names headers that must be signed, allowed
// those that may be besides the usual. [hardening]
func (r *signedRequest) seal(service string, bound, allowed []string, now time.Time) error {
	if r.auth.service != service {
		return errs.Errorf(errs.Invalid, "the signature is for service %q, expected %q", clip(r.auth.service), service)
	}
	if !r.auth.signs("host") {
		return errNotSigned("Host")
	}
	for name := range r.header {
		if strings.HasPrefix(name, "X-Amz-") && !r.auth.signs(name) {
			return errNotSigned(clip(name))
		}
	}
	for _, name := range bound {
		if !r.auth.signs(name) {
			return errNotSigned(name)
		}
	}
	if err := r.checkDate(now); err != nil {
		return err
	}
	r.send = http.Header{"User-Agent": {"lictor"}, "Content-Type": {formType}, "Authorization": {r.auth.String()}}
	for _, lower := range r.auth.signedHeaders {
		if lower == "host" {
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(lower)
		if !slices.Contains(signable, name) && !slices.ContainsFunc(allowed, func(a string) bool { return canonical(a) == name }) {
			return errs.Errorf(errs.Invalid, "invalid request header: %s", clip(name))
		}
		value, err := r.header.value(name)
		if err != nil {
			return err
		}
		r.send[name] = []string{value}
	}
	length := r.send.Get("Content-Length")
	if length != "" && length != strconv.Itoa(len(r.body)) || !isMedia(r.send.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return errs.New(errs.Invalid, "invalid request header: Content-Length or Content-Type does not fit the body")
	}
	return nil
}

// checkDate refuses a signature that AWS would find too old or too new.
func (r *signedRequest) checkDate(now time.Time) error {
	text, err := r.header.value("X-Amz-Date")
	if err != nil {
		return err
	}
	if r.signed, err = time.Parse(dateLayout, text); err != nil || text[:8] != r.auth.date {
		return errs.New(errs.Invalid, "invalid request header: X-Amz-Date")
	}
	if age := now.Sub(r.signed); age > maxAge || age < -maxAge {
		return errs.Errorf(errs.Denied, "login token has expired: signed at %s, more than %s from now", text, maxAge)
	}
	return nil
}

// build returns the request to send for s. The Host is the one that was
// signed, wherever it goes. A URL that is already the endpoint's stays as it
// is, since its path was signed too.
func (r *signedRequest) build(s service) *http.Request {
	to := *r.target
	if s.override != nil && !s.covers(r.target) {
		to.Scheme, to.Host = s.override.Scheme, s.override.Host
		to.Path = path.Join("/", s.override.Path, r.target.Path)
		if strings.HasSuffix(r.target.Path, "/") && to.Path != "/" {
			to.Path += "/"
		}
	}
	return &http.Request{
		Method:        http.MethodPost,
		URL:           &to,
		Host:          r.target.Host,
		Header:        r.send.Clone(),
		ContentLength: int64(len(r.body)),
	}
}

// check refuses URLs of hosts that do not belong to the service (rows 6 and 15). Where a method's
// Config names an endpoint, its host and AWS's other partitions are also good.
func (s service) check(u *url.URL) error {
	amazon := u.Scheme == "https" && (u.Path == "" || u.Path == "/") &&
		isServiceHost(s.name, strings.TrimSuffix(u.Host, ":443"), s.pinned)
	if u.User == nil && u.Opaque == "" && u.RawPath == "" && (amazon || s.pinned && s.covers(u)) {
		return nil
	}
	return errs.Errorf(errs.Invalid, "invalid %s hostname: %q", strings.ToUpper(s.name), clip(u.Host))
}

// covers reports whether u lies at or below the endpoint, spelled without dots and double slashes.
func (s service) covers(u *url.URL) bool {
	base, clean := strings.TrimSuffix(s.override.Path, "/")+"/", strings.TrimSuffix(path.Clean("/"+u.Path), "/")+"/"
	return u.Scheme == s.override.Scheme && u.Host == s.override.Host &&
		(u.Path == "" || u.Path == clean || u.Path+"/" == clean) && strings.HasPrefix(clean, base)
}

// isServiceHost reports whether host is one of AWS's own names for a service. Any name
// that begins and ends right would not do: sts.x.s3.amazonaws.com is somebody's bucket.
func isServiceHost(service, host string, anyPartition bool) bool {
	for _, p := range partitions {
		if p.suffix != "amazonaws.com" && !anyPartition {
			continue
		}
		rest, ok := strings.CutSuffix(host, "."+p.suffix)
		if !ok {
			continue
		}
		label, region, regional := strings.Cut(rest, ".")
		switch {
		case label != service && label != service+"-fips":
		case !regional:
			return service == "iam" || label == service
		case isRegion(region) || service == "iam" && region == "us-gov":
			return true
		}
	}
	return false
}
