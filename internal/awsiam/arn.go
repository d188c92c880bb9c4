package awsiam

import (
	"net/url"
	"strings"

	"github.com/lictor/lictor/internal/errs"
)

// principal is a role or a user, as the ARN in an AWS answer names it.
type principal struct {
	partition string
	account   string
	kind      string // "role" or "user"
	name      string // without path
	session   string // of an assumed role; for the role of an ECS task, the task's id
}

// parseARN reads the ARN of a user, a role or an assumed role. It returns
// errs.Denied with the texts of authmethods.md section 4.7.
func parseARN(arn string) (principal, error) {
	parts := strings.Split(arn, ":")
	switch {
	case len(parts) != 6:
		return principal{}, errs.Errorf(errs.Denied, "unrecognized arn: contains %d colon-separated parts, expected 6", len(parts))
	case parts[0] != "arn":
		return principal{}, errs.New(errs.Denied, `unrecognized arn: does not begin with "arn:"`)
	case parts[1] == "":
		return principal{}, errs.Errorf(errs.Denied, "unrecognized arn: %q is missing the partition", arn)
	case parts[2] != "iam" && parts[2] != "sts":
		return principal{}, errs.Errorf(errs.Denied, "unrecognized service: %s, not one of iam or sts", parts[2])
	case parts[4] == "":
		return principal{}, errs.Errorf(errs.Denied, "unrecognized arn: %q is missing the account number", arn)
	}
	p := principal{partition: parts[1], account: parts[4]}
	resource := strings.Split(parts[5], "/")
	if len(resource) < 2 {
		return principal{}, errs.Errorf(errs.Denied, "unrecognized arn: %q contains fewer than 2 slash-separated parts", parts[5])
	}
	switch resource[0] {
	case "assumed-role":
		if len(resource) < 3 {
			return principal{}, errs.Errorf(errs.Denied, "unrecognized arn: %q contains fewer than 3 slash-separated parts", parts[5])
		}
		p.kind, p.name, p.session = "role", resource[1], resource[2]
	case "role", "user":
		p.kind, p.name = resource[0], resource[len(resource)-1]
	default:
		return principal{}, errs.Errorf(errs.Denied, "unrecognized principal type: %q", resource[0])
	}
	if p.name == "" {
		return principal{}, errs.Errorf(errs.Denied, "unrecognized arn: %q is missing the resource name", arn)
	}
	return p, nil
}

// canonical returns the ARN of the role or user itself, without session and path.
func (p principal) canonical() string {
	return "arn:" + p.partition + ":iam::" + p.account + ":" + p.kind + "/" + p.name
}

// request returns the parameters of the IAM request that describes p.
func (p principal) request() url.Values {
	if p.kind == "user" {
		return url.Values{"Action": {actionGetUser}, "UserName": {p.name}, "Version": {iamVersion}}
	}
	return url.Values{"Action": {actionGetRole}, "RoleName": {p.name}, "Version": {iamVersion}}
}
