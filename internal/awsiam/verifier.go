package awsiam

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// otherAnswer is for how long IAM's answer is awaited when STS has refused.
const otherAnswer = 250 * time.Millisecond

// errUnfinished is what becomes of a token when something breaks while it is verified.
var errUnfinished = errs.New(errs.Internal, "the login was not verified to its end")

// verifier proves who made a bearer token, for one method.
type verifier struct {
	settings settings
	sts, iam service
	caller   caller
	timeout  time.Duration
	admit    func(ctx context.Context, identity string) (leave func(error), err error)
	now      func() time.Time
}

// Verify rebuilds the requests in bearer, at most 64 KiB, sends them to AWS side by side,
// and returns who signed them. All failures carry the texts of authmethods.md sections 4.5
// to 4.7. It returns errs.Invalid for a token that cannot be understood; errs.Denied when
// AWS refuses it, its date is out of range, it is for another server, or its maker is not
// trusted; errs.Throttled when AWS asks to slow down, or too many others are being verified; and
// errs.Unavailable when AWS does not answer as it should within the time-out.
func (v *verifier) Verify(ctx context.Context, bearer logging.Secret) (id authmethod.Identity, err error) {
	l, err := v.parse(bearer)
	if err != nil {
		return authmethod.Identity{}, err
	}
	leave, err := v.admit(ctx, l.claimed())
	if err != nil {
		return authmethod.Identity{}, err
	}
	err = errUnfinished // unless prove returns
	defer func() { leave(err) }()
	return v.prove(ctx, l)
}

// prove asks AWS who signed a login, and decides whether that is somebody who is trusted.
func (v *verifier) prove(ctx context.Context, l *login) (authmethod.Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	who, role, details, err := v.ask(ctx, l)
	if err != nil {
		return authmethod.Identity{}, err
	}
	return v.judge(l, who, role, details)
}

// ask makes both calls at once. What STS says goes before what IAM says: after a
// refusal by STS the other call is not tried again, but not the other way round. One that is under way
// is awaited, so that its connection serves the next login, but not for long. details is nil without entity details.
func (v *verifier) ask(ctx context.Context, l *login) (identity, principal, *entity, error) {
	type found struct {
		entity entity
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waits, refused := context.WithCancel(ctx)
	defer refused()
	answers := make(chan found, 1)
	if l.iam != nil {
		go func() {
			e, err := v.askIAM(ctx, waits, l.iam)
			answers <- found{e, err}
		}()
	}
	who, role, err := v.askSTS(ctx, l.sts)
	if err != nil {
		refused()
		late := time.AfterFunc(otherAnswer, cancel)
		defer late.Stop()
	}
	if l.iam == nil {
		return who, role, nil, err
	}
	f := <-answers
	if err == nil {
		err = f.err
	}
	return who, role, &f.entity, err
}

func (v *verifier) askSTS(ctx context.Context, r *signedRequest) (identity, principal, error) {
	body, err := v.caller.call(ctx, ctx, r, v.sts)
	if err != nil {
		return identity{}, principal{}, err
	}
	who, err := parseIdentity(body)
	if err != nil {
		return identity{}, principal{}, err
	}
	p, err := parseARN(who.arn)
	if err == nil && (p.account != who.account || who.userID == "") {
		err = errParsing("STS response")
	}
	return who, p, err
}

func (v *verifier) askIAM(ctx, waits context.Context, r *signedRequest) (entity, error) {
	body, err := v.caller.call(ctx, waits, r, v.iam)
	if err != nil {
		return entity{}, err
	}
	return parseEntity(body, r.action)
}

// judge decides whether whoever AWS named is trusted, and says what is known of them. The
// entity must have the unique id, partition and account that STS told: the name alone
// may belong to somebody else, in another account or at another time.
func (v *verifier) judge(l *login, who identity, role principal, details *entity) (authmethod.Identity, error) {
	uniqueID, _, _ := strings.Cut(who.userID, ":")
	arn := role.canonical()
	if details != nil {
		p, err := parseARN(details.arn)
		if err != nil {
			return authmethod.Identity{}, err
		}
		if details.id != uniqueID || p.partition != role.partition || p.account != role.account || p.kind != role.kind {
			return authmethod.Identity{}, errs.New(errs.Denied, "unique id mismatch in login token")
		}
		arn = details.arn
	}
	if !v.settings.trusts(arn) {
		return authmethod.Identity{}, errs.Errorf(errs.Denied, "IAM principal %s is not trusted", arn)
	}
	facts := facts{name: role.name, id: uniqueID, account: who.account, session: role.session}
	if details != nil {
		facts.path, facts.tags = details.path, details.tags
	}
	id := v.settings.identity(facts)
	sum := sha256.Sum256([]byte(l.sts.auth.signature))
	id.Principal, id.Proof, id.ProofEnds = arn, hex.EncodeToString(sum[:]), l.sts.signed.Add(maxAge)
	return id, nil
}

// Example returns an identity with every variable of the method's settings.
func (v *verifier) Example() authmethod.Identity {
	x := authmethod.Placeholder
	f := facts{name: x, id: x, account: x, session: x, path: x, tags: map[string]string{}}
	for _, key := range v.settings.IAMEntityTags {
		f.tags[key] = x
	}
	id := v.settings.identity(f)
	id.Principal = x
	return id
}

// facts is what an identity is made of.
type facts struct {
	name, id, account string
	session           string
	path              string
	tags              map[string]string
}

// identity names the facts for selectors and templates (authmethods.md section
// 4.8). Only declared tags are shown; one that is absent is empty. Selectors
// know path and tags even without entity details, then empty; templates do not. session_name
// is ours: who may assume a role names the session, and for the role of a task that is ECS, with the task's id.
func (s *settings) identity(f facts) authmethod.Identity {
	variables := map[string]string{"entity_name": f.name, "entity_id": f.id, "account_id": f.account, "session_name": f.session}
	tags := map[string]string{}
	path := ""
	if s.EnableIAMEntityDetails {
		path = f.path
		variables["entity_path"] = path
		for _, key := range s.IAMEntityTags {
			tags[key] = f.tags[key]
			variables["entity_tags."+key] = f.tags[key]
		}
	}
	return authmethod.Identity{
		Attributes: map[string]any{
			"entity_name":  f.name,
			"entity_id":    f.id,
			"account_id":   f.account,
			"session_name": f.session,
			"entity_path":  path,
			"entity_tags":  tags,
		},
		Variables: variables,
		UniqueID:  f.id,
		Account:   f.account,
	}
}
