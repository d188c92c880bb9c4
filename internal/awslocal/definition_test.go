package awslocal

import (
	"strings"
	"testing"
)

func TestParseTaskDefinition(t *testing.T) {
	with := func(containers string) string {
		return `{"family":"f","executionRoleArn":"r","volumes":[{"name":"v"}],"containerDefinitions":[` + containers + `]}`
	}
	const app = `{"name":"app","image":"i"}`
	side := func(fields string) string { return `{"name":"side","image":"i","essential":false` + fields + `}` }
	tests := []struct{ name, json, want string }{
		{"the least", with(app), ""},
		{"all of Fargate", definition, ""},
		{"no JSON", `{`, "EOF"},
		{"a key twice", `{"family":"a","family":"b"}`, "family: repeated key"},
		{"a wrong type", `{"family":1}`, "cannot unmarshal number"},
		{"an unknown parameter", `{"family":"f","launchType":"FARGATE"}`, `Unknown parameter in input: "launchType", must be one of: family,`},
		{"an unknown parameter of a container", with(`{"name":"a","image":"i","healthcheck":{}}`), `"containerDefinitions[0].healthcheck"`},
		{"no family", `{"containerDefinitions":[` + app + `]}`, `family "" is not`},
		{"no container", with(""), "0 containers"},
		{"no essential container", with(side("")), "at least one container must be essential"},
		{"a container twice", with(app + "," + app), `container "app" is there twice`},
		{"no image", with(`{"name":"app"}`), "Container.image should not be null or empty."},
		{"Fargate without awsvpc", strings.Replace(definition, "awsvpc", "host", 1), "Fargate only supports network mode"},
		{"Fargate without memory", strings.Replace(definition, `"memory":"512",`, "", 1), "cpu and memory"},
		{"a mount of no volume", with(app + "," + side(`,"mountPoints":[{"sourceVolume":"w","containerPath":"/w"}]`)), "no volume has that name"},
		{"a relative mount", with(app + "," + side(`,"mountPoints":[{"sourceVolume":"v","containerPath":"w"}]`)), "is not absolute"},
		{"a variable and secret of one name", with(app + "," + side(`,"environment":[{"name":"A","value":""}],"secrets":[{"name":"A","valueFrom":"x"}]`)), `"A" is no name or is there twice`},
		{"secrets without an execution role", strings.Replace(with(`{"name":"app","image":"i","secrets":[{"name":"A","valueFrom":"x"}]}`), `"executionRoleArn":"r",`, "", 1), "must also specify a value for 'executionRoleArn'"},
		{"a long stop", with(app + "," + side(`,"stopTimeout":121`)), "stopTimeout 121"},
		{"a health check without CMD", with(`{"name":"app","image":"i","healthCheck":{"command":["nc","-z","127.0.0.1","20000"]}}`), ""},
		{"a health check of two lines", with(`{"name":"app","image":"i","healthCheck":{"command":["CMD-SHELL","a","b"]}}`), "CMD-SHELL and one line"},
		{"a fast health check", with(`{"name":"app","image":"i","healthCheck":{"command":["a"],"interval":1}}`), "interval 1"},
		{"a dependency on nobody", with(app + "," + side(`,"dependsOn":[{"containerName":"x","condition":"START"}]`)), "which is not there"},
		{"an unknown condition", with(app + "," + side(`,"dependsOn":[{"containerName":"app","condition":"UP"}]`)), `condition "UP"`},
		{"health of a container without a check", with(app + "," + side(`,"dependsOn":[{"containerName":"app","condition":"HEALTHY"}]`)), "which has no healthCheck"},
		{"success of an essential container", with(app + "," + side(`,"dependsOn":[{"containerName":"app","condition":"SUCCESS"}]`)), "which is essential"},
		{"a circle", with(app + "," + side(`,"dependsOn":[{"containerName":"side","condition":"START"}]`)), "in a circle"},
		{"too long", strings.Repeat(" ", maxDefinition+1), "larger than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseTaskDefinition([]byte(tt.json))
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParseTaskDefinition(f *testing.F) {
	f.Add([]byte(definition))
	f.Add([]byte(`{"family":"f","containerDefinitions":[null]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := ParseTaskDefinition(data); err == nil && len(d.Containers) == 0 {
			t.Errorf("accepted without containers: %s", data)
		}
	})
}

func TestRegisteredDefinitionsAreFoundAgain(t *testing.T) {
	s := start(t, Demo(), Options{})
	for revision := 1; revision <= 2; revision++ {
		var out struct{ TaskDefinition struct{ Revision int } }
		body := strings.ReplaceAll(definition, "512", map[int]string{1: "512", 2: "1024"}[revision])
		d, err := ParseTaskDefinition([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if askJSON(t, s, demoKey, "ecs", "RegisterTaskDefinition", d.document, &out); out.TaskDefinition.Revision != revision {
			t.Errorf("got revision %d, want %d", out.TaskDefinition.Revision, revision)
		}
	}
	for ref, memory := range map[string]string{
		"shop": "1024", "shop:1": "512", "arn:aws:ecs:us-west-2:123456789012:task-definition/shop:2": "1024",
	} {
		var out struct {
			TaskDefinition struct{ Memory, Status, RegisteredBy string }
			Tags           []keyValue
		}
		askJSON(t, s, demoKey, "ecs", "DescribeTaskDefinition", map[string]any{"taskDefinition": ref, "include": []string{"TAGS"}}, &out)
		if d := out.TaskDefinition; d.Memory != memory || d.Status != "ACTIVE" || len(out.Tags) != 1 {
			t.Errorf("%s: got %+v", ref, out)
		}
	}
	for _, ref := range []string{"", "other", "shop:0", "shop:3", "shop:x"} {
		refused(t, askJSON(t, s, demoKey, "ecs", "DescribeTaskDefinition", map[string]any{"taskDefinition": ref}, nil), "ClientException")
	}
	refused(t, askJSON(t, s, demoKey, "ecs", "RegisterTaskDefinition", map[string]any{"family": "f"}, nil), "ClientException")
}
