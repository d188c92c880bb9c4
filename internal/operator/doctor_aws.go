package operator

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/ecsconfig"
)

// awsSide is AWS with the credentials that there are.
type awsSide struct {
	config aws.Config
	clocks *clocks
	arn    string // of the caller
	own    string // name of the role, if the caller is a session of one
}

// taskRole is a task role as IAM describes it.
type taskRole struct {
	arn, path, name, id, account string
	tags                         map[string]string
}

const tasksPrincipal = "ecs-tasks.amazonaws.com"

// checkCredentials asks STS who the caller is.
func (d *doctor) checkCredentials(ctx context.Context, f *findings) {
	side := &awsSide{clocks: &clocks{now: d.now}}
	var err error
	if side.config, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithLogger(logging.Nop{})); err != nil {
		f.fail("correct the AWS configuration", "%v", err)
		return
	}
	if side.config.HTTPClient == nil {
		side.config.HTTPClient = awshttp.NewBuildableClient()
	}
	side.config.HTTPClient = &watchedAWS{side.config.HTTPClient, side.clocks}
	if _, err := side.config.Credentials.Retrieve(ctx); err != nil {
		switch {
		case d.task != nil:
			f.fail("give the task definition a taskRoleArn", "there are no AWS credentials: %v", err)
		case d.role != "":
			f.fail("set AWS_PROFILE, or log in to AWS", "there are no AWS credentials: %v", err)
		default:
			f.skip("there are no AWS credentials")
		}
		return
	}
	if side.config.Region = d.awsRegion(side.config.Region); side.config.Region == "" {
		f.fail("set AWS_REGION, or give -region", "the AWS region is not known")
		return
	}
	d.aws = side // from here on, for its clock
	who, err := sts.NewFromConfig(side.config).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "sts:GetCallerIdentity in %s: %s", side.config.Region, what)
		return
	}
	side.arn = aws.ToString(who.Arn)
	if parts := strings.Split(side.arn, "/"); len(parts) == 3 && strings.Contains(parts[0], ":sts:") {
		side.own = parts[1]
	}
	f.ok("AWS knows the credentials as %s", side.arn)
	if d.task != nil && side.own == "" {
		f.fail("remove access keys from the task's environment, and give the task definition a taskRoleArn", "these are not the credentials of a task role")
	}
}

func (d *doctor) awsRegion(configured string) string {
	regions := []string{d.region, configured}
	if d.task != nil {
		if own, err := d.task.Region(); err == nil {
			regions = append(regions, own)
		}
	}
	if i := slices.IndexFunc(regions, func(r string) bool { return r != "" }); i >= 0 {
		return regions[i]
	}
	return ""
}

// checkRole reads the task role, as the servers will with the task's signature.
func (d *doctor) checkRole(ctx context.Context, f *findings) {
	if d.aws == nil || d.aws.arn == "" {
		f.skip("no AWS credentials")
		return
	}
	name := d.role
	if name == "" {
		name = d.aws.own
	}
	if name == "" {
		f.skip("the credentials are not those of a role: name a task's with -role")
		return
	}
	own := name == d.aws.own
	out, err := iam.NewFromConfig(d.aws.config).GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if err != nil {
		d.roleUnreadable(f, name, own, err)
		return
	}
	if own {
		f.ok("role %s may iam:GetRole itself", name)
	}
	r := &taskRole{arn: aws.ToString(out.Role.Arn), path: aws.ToString(out.Role.Path), name: name, id: aws.ToString(out.Role.RoleId), tags: map[string]string{}}
	if parts := strings.Split(r.arn, ":"); len(parts) == 6 {
		r.account = parts[4]
	}
	for _, t := range out.Role.Tags {
		r.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	d.roleHad = r
	d.checkRolePath(f, r)
	d.checkRoleTags(f, r)
	checkTrust(f, name, aws.ToString(out.Role.AssumeRolePolicyDocument))
}

func (d *doctor) roleUnreadable(f *findings, name string, own bool, err error) {
	what, remedy := explain(err)
	var refused smithy.APIError
	switch {
	case !errors.As(err, &refused) || !strings.HasPrefix(refused.ErrorCode(), "AccessDenied"):
		f.fail(remedy, "iam:GetRole of %s: %s", name, what)
	case own:
		account := ""
		if parts := strings.Split(d.aws.arn, ":"); len(parts) == 6 {
			account = parts[4]
		}
		f.fail(`add to the role's policy: {"Effect":"Allow","Action":"iam:GetRole","Resource":"arn:aws:iam::`+account+`:role`+d.rolePath+name+`"}`,
			"role %s may not iam:GetRole itself, so that no login succeeds", name)
	default:
		f.skip("role %s: these credentials may not iam:GetRole it", name)
	}
}

func (d *doctor) checkRolePath(f *findings, r *taskRole) {
	if !strings.HasPrefix(r.path, d.rolePath) {
		f.warn("make the role anew with --path "+d.rolePath+", or say -role-path", "role %s is at %s, not at %s", r.name, r.path, d.rolePath)
		return
	}
	f.ok("role %s is at %s", r.name, r.path)
}

func (d *doctor) checkRoleTags(f *findings, r *taskRole) {
	service, namespace := "", ""
	if d.config != nil {
		service, namespace = d.config.Service.Name, d.config.Service.Namespace
		if service == "" && d.task != nil && d.config.Gateway == nil {
			service = serviceName(d.task.Family)
		}
	}
	compare := func(key, want, what string) {
		have := r.tags[key]
		remedy := "aws iam tag-role --role-name " + r.name + " --tags Key=" + key + ",Value=" + orNone(want, "<"+what+">")
		switch {
		case have == "" && (what == "service" || want != "" && want != "default"):
			f.fail(remedy, "role %s has no tag %s", r.name, key)
		case have != "" && want != "" && have != want:
			f.fail(remedy, "the tag %s of role %s is %q, and the task registers in %s %q", key, r.name, have, what, want)
		case have != "":
			f.ok("role %s is for the %s %q", r.name, what, have)
		}
	}
	compare(aclsetup.TagServiceName, service, "service")
	compare(aclsetup.TagNamespace, namespace, "namespace")
}

// oneOrMore is how IAM writes lists.
type oneOrMore []string

func (l *oneOrMore) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(l))
	}
	var one string
	err := json.Unmarshal(text, &one)
	*l = oneOrMore{one}
	return err
}

// trusted are who a trust policy lets have a role, each as type:name.
type trusted []string

func (t *trusted) UnmarshalJSON(text []byte) error {
	var everybody string
	if json.Unmarshal(text, &everybody) == nil {
		*t = trusted{"AWS:" + everybody}
		return nil
	}
	var byType map[string]oneOrMore
	if err := json.Unmarshal(text, &byType); err != nil {
		return err
	}
	for _, kind := range sortedKeys(byType) {
		for _, name := range byType[kind] {
			*t = append(*t, kind+":"+name)
		}
	}
	return nil
}

// checkTrust looks at who may assume a role: they choose the name of their session, which for a
// task is its id.
func checkTrust(f *findings, name, document string) {
	text, err := url.PathUnescape(document)
	if err != nil || document == "" {
		return
	}
	type statement struct {
		Effect    string
		Principal trusted
	}
	var policy struct{ Statement json.RawMessage }
	var list []statement
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return
	}
	if json.Unmarshal(policy.Statement, &list) != nil {
		list = make([]statement, 1)
		if json.Unmarshal(policy.Statement, &list[0]) != nil {
			return
		}
	}
	tasks, others := false, []string{}
	for _, s := range list {
		for _, who := range s.Principal {
			switch {
			case s.Effect != "Allow":
			case who == "Service:"+tasksPrincipal:
				tasks = true
			default:
				others = append(others, who)
			}
		}
	}
	switch {
	case !tasks:
		f.fail("let "+tasksPrincipal+" assume the role in its trust policy", "role %s cannot be that of a task", name)
	case len(others) > 0:
		f.warn("let only "+tasksPrincipal+" assume the role: others choose the name of their session, and so which task they are", "role %s can be assumed by %s, too", name, some(others))
	default:
		f.ok("only tasks can have role %s", name)
	}
}

// loginConfig is how the task logs in; the zero value outside of a task.
func (d *doctor) loginConfig() ecsconfig.Login {
	if d.config == nil {
		return ecsconfig.Login{}
	}
	return d.config.ConsulLogin
}
