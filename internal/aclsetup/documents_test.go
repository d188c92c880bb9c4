package aclsetup

import (
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/tenancy"
)

func TestThePolicyOfAgentsIsGoodWhereTheyLive(t *testing.T) {
	for partition, scope := range map[string]tenancy.Scope{
		"": tenancy.Default, "default": tenancy.Default, "team-a": {Partition: "team-a", Namespace: tenancy.DefaultName},
	} {
		policy := Tasks{Names: Names{}.OrDefault(), Partition: partition}.ClientPolicy()
		rules, err := acl.ParseRules(policy.Rules)
		if err == nil {
			err = rules.Check(scope)
		}
		if err != nil || policy.Partition != partition {
			t.Errorf("partition %q: %v in\n%s", partition, err, policy.Rules)
		}
	}
}

func TestObjectsNameEachOther(t *testing.T) {
	given := Names{ClientMethod: "cm", ServiceMethod: "sm", ClientPolicy: "cp", ClientRole: "cr"}
	for _, names := range []Names{given, Names{}.OrDefault()} {
		objects := Tasks{Names: names, Partition: "team-a", Trusted: []string{"arn:aws:iam::123456789012:role/*"}}
		method, rule, role, policy := objects.ClientMethod(), objects.ClientRule(), objects.ClientRole(), objects.ClientPolicy()
		if rule.AuthMethod != method.Name || rule.BindName != role.Name || role.Policies[0].Name != policy.Name {
			t.Errorf("agents of %+v: %+v binds %+v, which has %+v", names, rule, role, policy)
		}
		services, bind := objects.ServiceMethod(), objects.ServiceRule()
		tags, _ := services.Config["IAMEntityTags"].([]string)
		if bind.AuthMethod != services.Name || bind.BindType != api.BindingRuleBindTypeService || !slices.Contains(tags, TagServiceName) {
			t.Errorf("services of %+v: %+v of %+v", names, bind, services)
		}
	}
	if got := given.OrDefault(); got != given {
		t.Errorf("names that are given become %+v", got)
	}
}
