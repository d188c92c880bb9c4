package awslocal

import (
	"strings"
	"testing"
)

func TestWildcardMatch(t *testing.T) {
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "anything/at:all", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"iam:Get*", "iam:GetRole", true},
		{"iam:Get*", "iam:ListRoles", false},
		{"arn:aws:iam::*:role/consul-ecs/*", "arn:aws:iam::123456789012:role/consul-ecs/web", true},
		{"arn:aws:iam::*:role/consul-ecs/*", "arn:aws:iam::123456789012:role/other/web", false},
		{"*a*b", "xaybzb", true},
		{"*a*b", "xaybz", false},
		{strings.Repeat("a*", 20) + "b", strings.Repeat("a", 10_000), false},
	}
	for _, tt := range tests {
		if got := wildcardMatch(tt.pattern, tt.s); got != tt.want {
			t.Errorf("%q on a text of %d bytes: got %v", tt.pattern, len(tt.s), got)
		}
	}
}

func TestMayAssume(t *testing.T) {
	const here, there = "111111111111", "222222222222"
	roleARN := "arn:aws:iam::" + here + ":role/target"
	tests := []struct {
		name      string
		account   string
		permitted bool
		trust     []string
		want      bool
	}{
		{"nobody is trusted", here, true, nil, false},
		{"named in the same account", here, false, []string{"arn:aws:iam::" + here + ":user/u"}, true},
		{"another user is named", here, true, []string{"arn:aws:iam::" + here + ":user/v"}, false},
		{"the account is trusted and permits it", here, true, []string{"arn:aws:iam::" + here + ":root"}, true},
		{"the account is trusted and does not permit it", here, false, []string{"arn:aws:iam::" + here + ":root"}, false},
		{"named across accounts and permitted there", there, true, []string{"arn:aws:iam::" + there + ":user/u"}, true},
		{"named across accounts and not permitted there", there, false, []string{"arn:aws:iam::" + there + ":user/u"}, false},
		{"only the role's own account is trusted", there, true, []string{"arn:aws:iam::" + here + ":root"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			role := newIdentity("role", here, "target", "", "AROATARGET")
			role.trust.AWS = tt.trust
			user := newIdentity("user", tt.account, "u", "", "AIDAUSER")
			if tt.permitted {
				user.permissions = []Permission{{Action: []string{"STS:assumerole"}, Resource: []string{roleARN}}}
			}
			if got := (principal{identity: user}).mayAssume(role); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTrustPolicy(t *testing.T) {
	role := newIdentity("role", "111111111111", "r", "", "AROAR")
	if got, want := role.trustPolicy(), `{"Version":"2012-10-17","Statement":[]}`; got != want {
		t.Errorf("got %s", got)
	}
	role.trust.Service = []string{tasksService}
	if got, want := role.trustPolicy(), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["ecs-tasks.amazonaws.com"]},"Action":"sts:AssumeRole"}]}`; got != want {
		t.Errorf("got %s", got)
	}
}
