package authmethod

import (
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestTerms(t *testing.T) {
	for _, c := range []struct {
		name   string
		ttl    time.Duration
		config map[string]any
		want   Terms
		text   string
	}{
		{name: "none", config: map[string]any{"Count": 1}},
		{name: "the lifetime follows the TTL", ttl: time.Hour, want: Terms{MaxTokenLifetime: 24 * time.Hour}},
		{name: "all, in any case, weakly typed", ttl: time.Hour, config: map[string]any{"singleusetokens": "true", "LEASEMETAKEY": "task", "maxTokenLifetime": "90m", "count": 2},
			want: Terms{SingleUseTokens: true, LeaseMetaKey: "task", MaxTokenLifetime: 90 * time.Minute}},
		{name: "a lifetime of one TTL", ttl: time.Hour, config: map[string]any{"MaxTokenLifetime": "1h"}, want: Terms{MaxTokenLifetime: time.Hour}},
		{name: "the same twice", config: map[string]any{"SingleUseTokens": true, "singleUseTokens": false}, text: `error decoding config: "SingleUseTokens" and "singleUseTokens" are the same key`},
		{name: "a lifetime without a TTL", config: map[string]any{"MaxTokenLifetime": "1h"}, text: "Must set MaxTokenTTL to use MaxTokenLifetime"},
		{name: "a lifetime below the TTL", ttl: time.Hour, config: map[string]any{"MaxTokenLifetime": "59m"}, text: "MaxTokenLifetime 59m0s cannot be less than MaxTokenTTL 1h0m0s"},
		{name: "a negative lifetime", ttl: time.Hour, config: map[string]any{"MaxTokenLifetime": "-1h"}, text: "MaxTokenLifetime -1h0m0s cannot be less than MaxTokenTTL 1h0m0s"},
		{name: "no duration", ttl: time.Hour, config: map[string]any{"MaxTokenLifetime": "soon"}, text: `MaxTokenLifetime is invalid: time: invalid duration "soon"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := Method{Name: "m", Type: "aws-iam", MaxTokenTTL: c.ttl, Config: c.config, Scope: tenancy.Default}
			got, err := m.Terms()
			wantError(t, err, errs.Invalid, c.text)
			if err == nil && got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if c.text != "" {
				c.text = "Invalid Auth Method: " + c.text
			}
			_, err = ValidateMethod(&m, fakeTypes)
			wantError(t, err, errs.Invalid, c.text)
			if _, err := Open(&m, fakeTypes); (err != nil) != (c.text != "") {
				t.Errorf("a stored method opens with %v", err)
			}
		})
	}
}

func TestIdentityOf(t *testing.T) {
	for _, c := range []struct {
		name     string
		values   map[string]string
		selector string
		template string
		want     string
		text     string
	}{
		{"an attribute", map[string]string{"entity_name": "web"}, `entity_name == "web" and entity_path == ""`, "${entity_name}", "web", ""},
		{"a key with dots", map[string]string{"entity_tags.a.b": "c"}, `entity_tags["a.b"] == "c" and entity_tags.team == ""`, "-", "-", ""},
		{"a variable and an attribute of one name", map[string]string{"entity_tags.team": "ops"}, `entity_tags.team == "ops"`, "${entity_tags.team}", "ops", ""},
		{"a variable without an attribute", map[string]string{"entity_tags.consul.hashicorp.com.service-name": "x"}, "", "${entity_tags.consul.hashicorp.com.service-name}", "x", ""},
		{"lists", map[string]string{"groups": "a,b", "list.groups": "c"}, `"b" in groups and "c" in list.groups and list.none is empty`, "-", "-", ""},
		{"nothing", nil, `groups is empty and entity_name == ""`, "${entity_name}", "", ""},
		{"an unknown name", map[string]string{"entity_tag.team": "x"}, "", "", "",
			`the identity has no attribute "entity_tag.team"; it has entity_name, entity_tags.consul.hashicorp.com.service-name, entity_tags.team`},
		{"an undeclared tag", map[string]string{"entity_tags.x": "x"}, "", "", "",
			`the identity has no attribute "entity_tags.x"; it has entity_name, entity_tags.consul.hashicorp.com.service-name, entity_tags.team`},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, err := IdentityOf(example(), c.values)
			wantError(t, err, errs.Invalid, c.text)
			if err != nil {
				return
			}
			if match, err := selects(c.selector, id); err != nil || !match {
				t.Errorf("%s: %v, %v", c.selector, match, err)
			}
			if got, err := interpolate(c.template, id); err != nil || got != c.want {
				t.Errorf("%s: %q, %v", c.template, got, err)
			}
		})
	}
}
