package cli

import (
	"strings"
	"testing"
)

func TestExportAddsConsumers(t *testing.T) {
	const there = `{"Kind":"exported-services","Name":"default","Services":[{"Name":"web","Namespace":"default","Consumers":[{"Partition":"a"}]},
		{"Name":"web","Namespace":"team","Consumers":[{"Partition":"t"}]}],"CreateIndex":3,"ModifyIndex":7}`
	for _, c := range []struct {
		name, command, entry string
		line, out, services  string
	}{
		{"where there is no entry", "-name web -consumer-partitions a,b", "404 Config entry not found", "PUT /v1/config?cas=0",
			"Successfully exported service \"web\" to admin partitions a, b\n",
			`[{"Name":"web","Consumers":[{"Partition":"a"},{"Partition":"b"}]}]`},
		{"to what is there", "-name web -consumer-partitions a,b -consumer-peers east", there, "PUT /v1/config?cas=7",
			"Successfully exported service \"web\" to cluster peers east and to admin partitions a, b\n",
			`[{"Name":"web","Namespace":"default","Consumers":[{"Partition":"a"},{"Peer":"east"},{"Partition":"b"}]},{"Name":"web","Namespace":"team","Consumers":[{"Partition":"t"}]}]`},
		{"another service", "-name db -consumer-peers east", there, "PUT /v1/config?cas=7",
			"Successfully exported service \"db\" to cluster peers east\n",
			`{"Name":"db","Consumers":[{"Peer":"east"}]}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := newAPI(t, answers{"GET /v1/config/exported-services/default": c.entry, c.line: "true"})
			got := api.run(t, append([]string{"services", "export"}, strings.Fields(c.command)...)...)
			if got.code != 0 || got.out != c.out || got.err != "" {
				t.Errorf("%+v", got)
			}
			if last := api.last(t); last.line != c.line || !strings.Contains(last.body, `"Services":`) || !strings.Contains(last.body, c.services) {
				t.Errorf("%s sent %s", last.line, last.body)
			}
		})
	}
}

func TestExportedServices(t *testing.T) {
	const list = `[{"Service":"web","Consumers":{"Partitions":["a","b"]}},{"Service":"db","Namespace":"team","Consumers":{"Peers":["east"]}}]`
	for _, c := range []struct{ name, command, answer, out string }{
		{"none", "", "[]", "No exported services found\n"},
		{"a table", "", list, "Service  Partition  Namespace  Consumer Peers  Consumer Partitions\n" +
			"web                                            a, b\n" +
			"db                  team       east            \n"},
		{"JSON", "-format json", `[{"Service":"web","Consumers":{}}]`, "[\n    {\n        \"Service\": \"web\",\n        \"Consumers\": {}\n    }\n]\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newAPI(t, answers{"GET /v1/exported-services": c.answer}).run(t, append([]string{"services", "exported-services"}, strings.Fields(c.command)...)...)
			if got.code != 0 || got.out != c.out || got.err != "" {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestUsageOfInstances(t *testing.T) {
	const usage = `{"Usage":{"dc1":{"Nodes":1,"Services":3,"ServiceInstances":4,"ConnectServiceInstances":{"connect-proxy":1,"mesh-gateway":0},"BillableServiceInstances":2,
		"PartitionNamespaceServices":{"default":{"default":3}},"PartitionNamespaceServiceInstances":{"default":{"default":4}},
		"PartitionNamespaceBillableServiceInstances":{"default":{"default":2}},
		"PartitionNamespaceConnectServiceInstances":{"default":{"default":{"connect-proxy":1,"mesh-gateway":0}}}}},"Index":9}`
	const billable = "Billable Service Instances Total: 2\n" +
		"Datacenter  Partition  Namespace  Services  Service Instances\n" +
		"dc1         default    default    3         2\n"
	const connect = "Connect Service Instances Total: 1\n" +
		"Datacenter  Partition  Namespace  Type           Service Instances\n" +
		"dc1         default    default    connect-proxy  1\n" +
		"dc1         default    default    mesh-gateway   0\n"
	for command, want := range map[string]string{
		"": billable + "\n" + connect, "-billable": billable, "-connect": connect, "-billable -connect": billable + "\n" + connect,
	} {
		api := newAPI(t, answers{"GET /v1/operator/usage": usage})
		got := api.run(t, append([]string{"operator", "usage", "instances"}, strings.Fields(command)...)...)
		if got.code != 0 || got.out != want || got.err != "" {
			t.Errorf("%q: %+v", command, got)
		}
	}
	api := newAPI(t, answers{"GET /v1/operator/usage?global=": usage})
	if got := api.run(t, "operator", "usage", "instances", "-all-datacenters"); got.code != 0 {
		t.Errorf("%+v", got)
	}
}
