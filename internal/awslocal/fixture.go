package awslocal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

const (
	maxFixture      = 1 << 20
	maxFixtureDepth = 12
	maxTags         = 50
)

// Fixture is everything that the local AWS knows: accounts with their roles
// and users. Its JSON is documented by testdata/demo.json.
type Fixture struct {
	Accounts []Account `json:"accounts"`
}

// Account is one AWS account of the partition "aws".
type Account struct {
	ID    string `json:"id"` // 12 digits
	Roles []Role `json:"roles,omitempty"`
	Users []User `json:"users,omitempty"`
}

// Role is an IAM role.
type Role struct {
	Name        string            `json:"name"`
	Path        string            `json:"path,omitempty"` // "/" when empty; begins and ends with "/"
	ID          string            `json:"id"`             // AROA…
	Tags        map[string]string `json:"tags,omitempty"`
	Permissions []Permission      `json:"permissions,omitempty"`
	Trust       Trust             `json:"trust"`
}

// User is an IAM user.
type User struct {
	Name        string            `json:"name"`
	Path        string            `json:"path,omitempty"` // "/" when empty; begins and ends with "/"
	ID          string            `json:"id"`             // AIDA…
	Tags        map[string]string `json:"tags,omitempty"`
	Permissions []Permission      `json:"permissions,omitempty"`
	AccessKeys  []AccessKey       `json:"accessKeys,omitempty"`
}

// AccessKey is a long-term key of a user.
type AccessKey struct {
	ID     string `json:"id"` // AKIA…
	Secret string `json:"secret"`
}

// Permission allows actions on resources, as a statement of an IAM policy
// with Effect Allow does. "*" stands for any text and "?" for any character.
// Action names have no case.
type Permission struct {
	Action   []string `json:"Action"`
	Resource []string `json:"Resource"`
}

// Trust says who may assume a role, as the Principal of its trust policy does.
type Trust struct {
	// Service lists AWS services; ecs-tasks.amazonaws.com lets tasks have the role.
	Service []string `json:"Service,omitempty"`
	// AWS lists ARNs of users and roles, which may then assume the role, and
	// arn:aws:iam::<account>:root for those of an account whose own
	// permissions allow it.
	AWS []string `json:"AWS,omitempty"`
}

// Load reads a fixture of at most 1 MiB. Unknown and repeated keys, duplicate
// names and ids, and malformed values are errors that name the field.
func Load(r io.Reader) (Fixture, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFixture+1))
	if err != nil {
		return Fixture{}, fmt.Errorf("read fixture: %w", err)
	}
	if len(data) > maxFixture {
		return Fixture{}, fmt.Errorf("fixture is larger than %d bytes", maxFixture)
	}
	if err := checkKeys(json.NewDecoder(bytes.NewReader(data)), "", 0); err != nil {
		return Fixture{}, fmt.Errorf("fixture: %w", err)
	}
	var f Fixture
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Fixture{}, fmt.Errorf("fixture: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Fixture{}, errors.New("fixture: something follows the JSON object")
	}
	return f, f.validate()
}

// checkKeys walks one JSON value and refuses repeated keys, which
// encoding/json lets pass, and deep nesting.
func checkKeys(d *json.Decoder, at string, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	open, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxFixtureDepth {
		return fmt.Errorf("%s: nested deeper than %d", at, maxFixtureDepth)
	}
	seen := map[string]bool{}
	for i := 0; d.More(); i++ {
		in := fmt.Sprintf("%s[%d]", at, i)
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return err
			}
			key := fmt.Sprint(token)
			in = strings.TrimPrefix(at+"."+key, ".")
			// Both conversions, because encoding/json takes "ſ" and "K" for "s" and "k".
			folded := strings.ToLower(strings.ToUpper(key))
			if seen[folded] {
				return fmt.Errorf("%s: repeated key", in)
			}
			seen[folded] = true
		}
		if err := checkKeys(d, in, depth+1); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

var (
	accountPattern = regexp.MustCompile(`^[0-9]{12}$`)
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,64}$`)
	pathPattern    = regexp.MustCompile(`^/([A-Za-z0-9_+=,.@-]+/)*$`)
	roleIDPattern  = regexp.MustCompile(`^AROA[A-Z0-9]{12,124}$`)
	userIDPattern  = regexp.MustCompile(`^AIDA[A-Z0-9]{12,124}$`)
	keyIDPattern   = regexp.MustCompile(`^AKIA[A-Z0-9]{12,124}$`)
	secretPattern  = regexp.MustCompile(`^[A-Za-z0-9/+=]{16,128}$`)
	tagPattern     = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+@-]*$`)
	actionPattern  = regexp.MustCompile(`^(\*|[a-z0-9-]+:[A-Za-z0-9*?]+)$`)
	arnPattern     = regexp.MustCompile(`^(\*|arn:[^:]*:[^:]*:[^:]*:[^:]*:.+)$`)
	servicePattern = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com$`)
	trustedPattern = regexp.MustCompile(`^arn:aws:iam::[0-9]{12}:(root|(user|role)/([A-Za-z0-9_+=,.@-]+/)*[A-Za-z0-9_+=,.@-]{1,64})$`)
)

func (f Fixture) validate() error {
	if len(f.Accounts) == 0 {
		return errors.New("accounts: at least one account is needed")
	}
	c := checker{}
	for i, a := range f.Accounts {
		at := fmt.Sprintf("accounts[%d]", i)
		err := cmp.Or(
			check(at+".id", a.ID, accountPattern, "is not 12 digits"),
			c.once(at+".id", "account "+a.ID),
			c.roles(at, a),
			c.users(at, a),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// checker remembers where each thing that must be unique was first seen.
type checker map[string]string

func (c checker) once(at, thing string) error {
	if first, ok := c[thing]; ok {
		return fmt.Errorf("%s: %s is also %s", at, thing, first)
	}
	c[thing] = at
	return nil
}

func check(at, value string, pattern *regexp.Regexp, problem string) error {
	if !pattern.MatchString(value) {
		return fmt.Errorf("%s: %q %s", at, value, problem)
	}
	return nil
}

func checkAll(at string, values []string, pattern *regexp.Regexp, problem string) error {
	for i, v := range values {
		if err := check(fmt.Sprintf("%s[%d]", at, i), v, pattern, problem); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) roles(in string, a Account) error {
	for i, r := range a.Roles {
		at := fmt.Sprintf("%s.roles[%d]", in, i)
		err := cmp.Or(
			c.entity(at, a.ID+" role", r.Name, r.Path),
			check(at+".id", r.ID, roleIDPattern, "is not a role id (AROA…)"),
			c.once(at+".id", r.ID),
			checkTags(at+".tags", r.Tags),
			checkPermissions(at+".permissions", r.Permissions),
			checkAll(at+".trust.Service", r.Trust.Service, servicePattern, "is not an AWS service"),
			checkAll(at+".trust.AWS", r.Trust.AWS, trustedPattern, "is not the ARN of a user, a role or an account's root"),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

func (c checker) users(in string, a Account) error {
	for i, u := range a.Users {
		at := fmt.Sprintf("%s.users[%d]", in, i)
		err := cmp.Or(
			c.entity(at, a.ID+" user", u.Name, u.Path),
			check(at+".id", u.ID, userIDPattern, "is not a user id (AIDA…)"),
			c.once(at+".id", u.ID),
			checkTags(at+".tags", u.Tags),
			checkPermissions(at+".permissions", u.Permissions),
		)
		if err != nil {
			return err
		}
		for j, k := range u.AccessKeys {
			at := fmt.Sprintf("%s.accessKeys[%d]", at, j)
			if err := cmp.Or(
				check(at+".id", k.ID, keyIDPattern, "is not an access key id (AKIA…)"),
				c.once(at+".id", k.ID),
			); err != nil {
				return err
			}
			if !secretPattern.MatchString(k.Secret) {
				return fmt.Errorf("%s.secret: is not 16 to 128 letters, digits, '/', '+' or '='", at)
			}
		}
	}
	return nil
}

// entity checks what roles and users share. As in AWS, two names of a kind
// differ by more than their case, whatever their paths are.
func (c checker) entity(at, kind, name, path string) error {
	err := cmp.Or(
		check(at+".name", name, namePattern, "is not 1 to 64 letters, digits or _+=,.@-"),
		c.once(at+".name", kind+" "+strings.ToLower(name)),
	)
	if err != nil || path == "" {
		return err
	}
	if len(path) > 512 {
		return fmt.Errorf("%s.path: longer than 512 characters", at)
	}
	return check(at+".path", path, pathPattern, `does not begin and end with "/"`)
}

func checkTags(at string, tags map[string]string) error {
	if len(tags) > maxTags {
		return fmt.Errorf("%s: more than %d tags", at, maxTags)
	}
	for _, key := range sortedKeys(tags) {
		value := tags[key]
		if n := len([]rune(key)); n == 0 || n > 128 || !tagPattern.MatchString(key) || strings.HasPrefix(strings.ToLower(key), "aws:") {
			return fmt.Errorf("%s: %q is not a tag key", at, key)
		}
		if len([]rune(value)) > 256 || !tagPattern.MatchString(value) {
			return fmt.Errorf("%s.%s: %q is not a tag value", at, key, value)
		}
	}
	return nil
}

func checkPermissions(at string, permissions []Permission) error {
	for i, p := range permissions {
		at := fmt.Sprintf("%s[%d]", at, i)
		if len(p.Action) == 0 || len(p.Resource) == 0 {
			return fmt.Errorf("%s: needs an Action and a Resource", at)
		}
		if err := cmp.Or(
			checkAll(at+".Action", p.Action, actionPattern, `is not like "iam:GetRole"`),
			checkAll(at+".Resource", p.Resource, arnPattern, "is not an ARN"),
		); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
