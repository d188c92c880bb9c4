// Package awsiam is the auth method aws-iam, both ends: NewBearerToken makes a
// login's bearer token from AWS credentials, and Type verifies one by asking
// AWS who signed it (spec: authmethods.md sections 3 and 4).
//
// A bearer token is two signed requests in a wrapping of JSON and base64. The
// verifier takes them apart, checks every part, and sends requests that it
// builds itself; nothing that the caller wrote is passed on unread.
package awsiam

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// The headers that carry more than AWS knows of, as error messages spell them.
const (
	serverIDHeader      = "X-Consul-IAM-ServerID"
	entityMethodHeader  = "X-Consul-IAM-GetEntity-Method"
	entityURLHeader     = "X-Consul-IAM-GetEntity-URL"
	entityHeadersHeader = "X-Consul-IAM-GetEntity-Headers"
	entityBodyHeader    = "X-Consul-IAM-GetEntity-Body"
)

// The AWS requests of a login.
const (
	actionGetCallerIdentity = "GetCallerIdentity"
	actionGetRole           = "GetRole"
	actionGetUser           = "GetUser"
	stsVersion              = "2011-06-15"
	iamVersion              = "2010-05-08"
	formType                = "application/x-www-form-urlencoded; charset=utf-8"
	signatureAlgorithm      = "AWS4-HMAC-SHA256"
	dateLayout              = "20060102T150405Z"
)

// partition is a part of AWS with its own names.
type partition struct {
	prefix    string // of its regions
	suffix    string // of its hosts
	iamHost   string
	iamRegion string // in signatures of IAM requests
}

var partitions = []partition{
	{"cn-", "amazonaws.com.cn", "iam.cn-north-1.amazonaws.com.cn", "cn-north-1"},
	{"us-gov-", "amazonaws.com", "iam.us-gov.amazonaws.com", "us-gov-west-1"},
	{"us-iso-", "c2s.ic.gov", "iam.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"},
	{"us-isob-", "sc2s.sgov.gov", "iam.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1"},
	{"", "amazonaws.com", "iam.amazonaws.com", "us-east-1"},
}

// partitionOf returns the partition that region is in.
func partitionOf(region string) partition {
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			return p
		}
	}
	return partition{}
}

// isRegion reports whether s has the form of a region's name: us-east-1,
// us-gov-west-1. One that is new to us passes.
func isRegion(s string) bool {
	labels := strings.Split(s, "-")
	if len(s) > 32 || len(labels) < 3 {
		return false
	}
	last := len(labels) - 1
	for i, label := range labels {
		from, to := 'a', 'z'
		if i == last {
			from, to = '0', '9'
		}
		if label == "" || strings.ContainsFunc(label, func(r rune) bool { return r < from || r > to }) {
			return false
		}
	}
	return true
}

// signV4 adds the signature of creds to req, whose body is given apart.
func signV4(ctx context.Context, creds aws.Credentials, req *http.Request, body, service, region string, at time.Time) error {
	sum := sha256.Sum256([]byte(body))
	return v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), service, region, at)
}
