package awslocal

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm        = "AWS4-HMAC-SHA256"
	amzDate          = "20060102T150405Z"
	maxSkew          = 15 * time.Minute
	maxAuthorization = 8 << 10
)

// signature is an Authorization header of AWS Signature Version 4.
type signature struct {
	accessKey string
	date      string // yyyymmdd
	region    string
	service   string
	headers   []string // the signed ones: lower case, ascending
	mac       []byte   // 32 bytes
}

func (g signature) scope() string {
	return g.date + "/" + g.region + "/" + g.service + "/aws4_request"
}

var (
	credentialPattern = regexp.MustCompile(`^([A-Za-z0-9_]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/aws4_request$`)
	headerPattern     = regexp.MustCompile("^[a-z0-9!#$%&'*+.^_`|~-]+$")
	macPattern        = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// parseAuthorization reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…,
// Signature=…" with the three parts in any order, each exactly once.
func parseAuthorization(value string) (signature, *apiError) {
	if len(value) > maxAuthorization {
		return signature{}, incompleteSignature("Authorization header is longer than %d bytes", maxAuthorization)
	}
	scheme, rest, _ := strings.Cut(value, " ")
	if scheme != algorithm {
		return signature{}, incompleteSignature("Authorization header requires the %s algorithm", algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		key, v, ok := strings.Cut(strings.Trim(part, " "), "=")
		if _, repeated := parts[key]; !ok || repeated {
			return signature{}, incompleteSignature("Authorization header has a malformed or repeated part %q", key)
		}
		parts[key] = v
	}
	if len(parts) > 3 {
		return signature{}, incompleteSignature("Authorization header has unknown parts")
	}
	for _, key := range []string{"Credential", "Signature", "SignedHeaders"} {
		if parts[key] == "" {
			return signature{}, incompleteSignature("Authorization header requires '%s' parameter.", key)
		}
	}
	credential := credentialPattern.FindStringSubmatch(parts["Credential"])
	if credential == nil {
		return signature{}, incompleteSignature("Credential must be <access key>/<yyyymmdd>/<region>/<service>/aws4_request")
	}
	if !macPattern.MatchString(parts["Signature"]) {
		return signature{}, incompleteSignature("Signature must be 64 lower-case hexadecimal digits")
	}
	headers := strings.Split(parts["SignedHeaders"], ";")
	for i, h := range headers {
		if !headerPattern.MatchString(h) || i > 0 && headers[i-1] >= h {
			return signature{}, incompleteSignature("SignedHeaders must be lower-case header names in ascending order")
		}
	}
	mac, err := hex.DecodeString(parts["Signature"])
	if err != nil {
		panic("awslocal: the pattern admits hexadecimal digits alone")
	}
	return signature{credential[1], credential[2], credential[3], credential[4], headers, mac}, nil
}

// requestSignature returns the one signature of r. Presigned queries are refused.
func requestSignature(r *http.Request) (signature, *apiError) {
	for key := range r.URL.Query() {
		if strings.HasPrefix(strings.ToLower(key), "x-amz-") {
			return signature{}, incompleteSignature("Presigned queries are not accepted (parameter %q): sign with the Authorization header", key)
		}
	}
	switch values := r.Header.Values("Authorization"); len(values) {
	case 0:
		return signature{}, refuse(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token")
	case 1:
		return parseAuthorization(values[0])
	default:
		return signature{}, incompleteSignature("Request has %d Authorization headers", len(values))
	}
}

// checkSigned checks everything about g that needs no secret: when it was
// made, for which service, and that it covers the host and all x-amz- headers.
func (g signature) checkSigned(r *http.Request, now time.Time) *apiError {
	for _, name := range []string{"X-Amz-Date", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		if n := len(r.Header.Values(name)); n > 1 {
			return incompleteSignature("Request has %d '%s' headers", n, name)
		}
	}
	if err := g.checkDate(r.Header.Get("X-Amz-Date"), now); err != nil {
		return err
	}
	if want := hostService(r.Host); !isService(g.service) || want != "" && want != g.service {
		return signatureMismatch("Credential should be scoped to correct service, not '%s'.", g.service)
	}
	if !slices.Contains(g.headers, "host") {
		return signatureMismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-") && !slices.Contains(g.headers, lower) {
			return signatureMismatch("There were headers present in the request which were not signed: %s", lower)
		}
	}
	return nil
}

func (g signature) checkDate(date string, now time.Time) *apiError {
	if date == "" {
		return incompleteSignature("Authorization header requires existence of a 'X-Amz-Date' header.")
	}
	at, err := time.Parse(amzDate, date)
	if err != nil {
		return incompleteSignature("Date must be in ISO-8601 'basic format'. Got '%s'.", date)
	}
	if day := date[:8]; day != g.date {
		return signatureMismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s', from '%s'.", g.date, day, date)
	}
	now = now.UTC()
	if oldest := now.Add(-maxSkew); at.Before(oldest) {
		return signatureMismatch("Signature expired: %s is now earlier than %s (%s - 15 min.)", date, oldest.Format(amzDate), now.Format(amzDate))
	}
	if newest := now.Add(maxSkew); at.After(newest) {
		return signatureMismatch("Signature not yet current: %s is still later than %s (%s + 15 min.)", date, newest.Format(amzDate), now.Format(amzDate))
	}
	return nil
}

// hostService returns the service of a host name of AWS, such as "sts" for
// sts.us-west-2.amazonaws.com, and "" for any other host.
func hostService(host string) string {
	label, rest, _ := strings.Cut(strings.ToLower(host), ".")
	label = strings.TrimSuffix(label, "-fips")
	if rest != "amazonaws.com" && !strings.HasSuffix(rest, ".amazonaws.com") || !isService(label) {
		return ""
	}
	return label
}

func isService(name string) bool {
	_, inJSON := jsonServices[name]
	return inJSON || namespaces[name] != ""
}

// verify recomputes the signature of r and its body with secret. A signed
// header that r lacks, and a stated body hash that is wrong, fail too.
func (g signature) verify(r *http.Request, body []byte, secret string) bool {
	hash := hexSHA256(body)
	if stated := r.Header.Get("X-Amz-Content-Sha256"); stated != "" && stated != hash {
		return false
	}
	canonical, ok := canonicalRequest(r, g.headers, hash)
	if !ok {
		return false
	}
	text := algorithm + "\n" + r.Header.Get("X-Amz-Date") + "\n" + g.scope() + "\n" + hexSHA256([]byte(canonical))
	mac := hmacSHA256(signingKey(secret, g.date, g.region, g.service), text)
	return subtle.ConstantTimeCompare(mac, g.mac) == 1
}

// canonicalRequest is the text that SigV4 hashes. It is false when a signed
// header is not there.
func canonicalRequest(r *http.Request, signed []string, bodyHash string) (string, bool) {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + canonicalPath(r.URL) + "\n" + canonicalQuery(r.URL.Query()) + "\n")
	for _, name := range signed {
		values := r.Header.Values(name)
		switch {
		case name == "host":
			values = []string{r.Host}
		case name == "content-length" && r.ContentLength >= 0:
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		}
		if len(values) == 0 {
			return "", false
		}
		b.WriteString(name + ":")
		for i, v := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.Join(strings.FieldsFunc(v, func(r rune) bool { return r == ' ' }), " "))
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + bodyHash)
	return b.String(), true
}

// canonicalPath normalises the path and encodes it once more, as every
// service but S3 does.
func canonicalPath(u *url.URL) string {
	p := u.EscapedPath()
	clean := path.Clean("/" + p)
	if strings.HasSuffix(p, "/") && clean != "/" {
		clean += "/"
	}
	return strings.ReplaceAll(percentEncode(clean), "%2F", "/")
}

// canonicalQuery sorts by encoded name; no name is there twice.
func canonicalQuery(query url.Values) string {
	encoded := make(map[string]string, len(query))
	for key := range query {
		encoded[percentEncode(key)] = percentEncode(query.Get(key))
	}
	pairs := sortedKeys(encoded)
	for i, key := range pairs {
		pairs[i] = key + "=" + encoded[key]
	}
	return strings.Join(pairs, "&")
}

// percentEncode encodes all but the unreserved characters of RFC 3986.
func percentEncode(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), "%7E", "~")
}

func signingKey(secret, date, region, service string) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{date, region, service, "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	return key
}

func hmacSHA256(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexSHA256(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
