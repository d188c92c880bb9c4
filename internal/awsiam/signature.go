package awsiam

import (
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// authorization is an Authorization header of AWS signature version 4, taken apart.
type authorization struct {
	accessKeyID   string
	date          string // yyyymmdd
	region        string
	service       string
	signedHeaders []string // lower case, sorted, each once
	signature     string   // 64 hex digits
}

// parseAuthorization reads the one Authorization header of a request (rows 21
// and 22). It accepts what AWS's own libraries write and no other form.
func parseAuthorization(h headers) (authorization, error) {
	if len(h["Authorization"]) == 0 {
		return authorization{}, errs.New(errs.Invalid, "missing Authorization header")
	}
	text, err := h.value("Authorization")
	if err != nil {
		return authorization{}, err
	}
	if !strings.Contains(text, "SignedHeaders=") {
		return authorization{}, errs.New(errs.Invalid, "server id header wasn't signed")
	}
	a, ok := splitAuthorization(text)
	if !ok {
		return authorization{}, errs.New(errs.Invalid, "invalid Authorization header")
	}
	return a, nil
}

func splitAuthorization(text string) (a authorization, ok bool) {
	text, ok = strings.CutPrefix(text, signatureAlgorithm+" ")
	fields := strings.Split(text, ",")
	if !ok || len(fields) != 3 {
		return a, false
	}
	credential, ok1 := strings.CutPrefix(strings.TrimSpace(fields[0]), "Credential=")
	signed, ok2 := strings.CutPrefix(strings.TrimSpace(fields[1]), "SignedHeaders=")
	signature, ok3 := strings.CutPrefix(strings.TrimSpace(fields[2]), "Signature=")
	scope := strings.Split(credential, "/")
	if !ok1 || !ok2 || !ok3 || len(scope) != 5 || scope[4] != "aws4_request" {
		return a, false
	}
	a = authorization{
		accessKeyID: scope[0], date: scope[1], region: scope[2], service: scope[3],
		signedHeaders: strings.Split(signed, ";"), signature: signature,
	}
	return a, a.wellFormed()
}

func (a authorization) wellFormed() bool {
	if a.accessKeyID == "" || len(a.accessKeyID) > 128 || !isRegion(a.region) ||
		len(a.date) != 8 || len(a.signature) != 64 {
		return false
	}
	return isMadeOf(a.accessKeyID, func(c byte) bool {
		return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}) && isMadeOf(a.date, func(c byte) bool {
		return '0' <= c && c <= '9'
	}) && isMadeOf(a.signature, func(c byte) bool {
		return '0' <= c && c <= '9' || 'a' <= c && c <= 'f'
	}) && a.headersSorted()
}

func (a authorization) headersSorted() bool {
	for i, name := range a.signedHeaders {
		token := isMadeOf(name, func(c byte) bool { return c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' })
		if name == "" || !token || i > 0 && a.signedHeaders[i-1] >= name {
			return false
		}
	}
	return true
}

// signs reports whether a header, in any spelling, is among the signed ones.
func (a authorization) signs(name string) bool {
	_, found := slices.BinarySearch(a.signedHeaders, strings.ToLower(name))
	return found
}

// String returns the header's value, built anew.
func (a authorization) String() string {
	return signatureAlgorithm +
		" Credential=" + strings.Join([]string{a.accessKeyID, a.date, a.region, a.service, "aws4_request"}, "/") +
		", SignedHeaders=" + strings.Join(a.signedHeaders, ";") +
		", Signature=" + a.signature
}

func isMadeOf(s string, allowed func(byte) bool) bool {
	for i := range len(s) {
		if !allowed(s[i]) {
			return false
		}
	}
	return true
}
