package aclsetup

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
)

// boundARNs is the key of an auth method's configuration with the roles that it trusts. The API
// takes it in any case.
const boundARNs = "BoundIAMPrincipalARNs"

func (p *planner) methods(ctx context.Context) error {
	for _, want := range p.want.Methods {
		opts := p.in(ctx, want.Partition, want.Namespace)
		have, _, err := p.client.ACL().AuthMethodRead(want.Name, opts)
		if err != nil && !IsMissing(err) && !p.partitionIsNew(want.Partition) {
			return fmt.Errorf("read auth method %q: %w", want.Name, err)
		}
		if err != nil || have == nil {
			p.add(Create, "auth method", want.Name, nil, func(ctx context.Context) error {
				_, _, err := p.client.ACL().AuthMethodCreate(&want, write(ctx))
				return err
			})
			continue
		}
		if p.want.ShareMethods {
			want = shared(*have, want)
		}
		if d := methodDetails(have, &want); len(d) > 0 {
			p.add(Update, "auth method", want.Name, d, func(ctx context.Context) error {
				_, _, err := p.client.ACL().AuthMethodUpdate(&want, write(ctx))
				return err
			})
		}
	}
	return nil
}

// shared is have with the trusted ARNs of want added.
func shared(have, want api.ACLAuthMethod) api.ACLAuthMethod {
	key, trusted := bound(have.Config)
	_, more := bound(want.Config)
	union := slices.Compact(slices.Sorted(slices.Values(slices.Concat(trusted, more))))
	if slices.Equal(union, slices.Sorted(slices.Values(trusted))) {
		return have
	}
	have.Config = maps.Clone(have.Config)
	have.Config[key] = union
	return have
}

// bound returns the trusted ARNs of a configuration, and the key that they stand under.
func bound(config map[string]any) (key string, arns []string) {
	for name, value := range config {
		if !strings.EqualFold(name, boundARNs) {
			continue
		}
		switch list := value.(type) {
		case []string:
			return name, list
		case []any:
			for _, v := range list {
				arns = append(arns, fmt.Sprint(v))
			}
			return name, arns
		}
	}
	return boundARNs, nil
}

func methodDetails(have, want *api.ACLAuthMethod) []string {
	var d details
	d.text("description", have.Description, want.Description)
	d.text("type", have.Type, want.Type)
	d.text("max token TTL", have.MaxTokenTTL.String(), want.MaxTokenTTL.String())
	d.text("token locality", have.TokenLocality, locality(have, want))
	d.text("namespace rules", asJSON(have.NamespaceRules), asJSON(want.NamespaceRules))
	before, after := folded(have.Config), folded(want.Config)
	for _, key := range slices.Sorted(maps.Keys(after)) {
		if !reflect.DeepEqual(before[key], after[key]) {
			d.text("config "+key, asJSON(before[key]), asJSON(after[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, wanted := after[key]; !wanted && !isZero(before[key]) {
			d.text("config "+key, asJSON(before[key]), "null")
		}
	}
	return d
}

// locality is what is wanted, or what there is where nothing in particular is.
func locality(have, want *api.ACLAuthMethod) string {
	if want.TokenLocality == "" {
		return have.TokenLocality
	}
	return want.TokenLocality
}

// folded is a configuration as JSON gives it back, with its keys in lower case.
func folded(config map[string]any) map[string]any {
	var plain map[string]any
	text, err := json.Marshal(config)
	if err != nil || json.Unmarshal(text, &plain) != nil {
		return nil
	}
	out := make(map[string]any, len(plain))
	for key, value := range plain {
		out[strings.ToLower(key)] = value
	}
	return out
}

func isZero(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == "" || v == "0s"
	case bool:
		return !v
	case float64:
		return v == 0
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func asJSON(v any) string {
	if value := reflect.ValueOf(v); !value.IsValid() || value.Kind() == reflect.Slice && value.Len() == 0 {
		return "null"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
