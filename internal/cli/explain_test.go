package cli

import (
	"strings"
	"testing"
)

const explainedA = `{"AccessorID":"138c06b4-05c8-a868-20a5-d6b9c3140c17","Resource":"service","Access":"write","Segment":"web","Namespace":"team","Partition":"default","Allow":false,` +
	`"DecidedBy":"rule","Reason":"service_prefix \"\" of policy \"reader\" grants read, which does not include write",` +
	`"Rules":[{"PolicyID":"b6a0f713-a3c3-1724-385b-5512df1962ea","Policy":"policy \"reader\"","PolicyNamespace":"team","PolicyPartition":"default","Via":"role \"ops\"",` +
	`"Rule":"service_prefix \"\"","Line":1,"Column":3,"Grants":"read","Decides":true},{"Policy":"service identity \"api\"","PolicyNamespace":"team","PolicyPartition":"default","Via":"the token",` +
	`"Rule":"service_prefix \"\"","Line":8,"Column":1,"Grants":"list","Decides":false}],"Change":"a policy of the token has to say: service \"web\" { policy = \"write\" }"}`

func TestACLExplain(t *testing.T) {
	play := answers{"POST /v1/acl/explain?ns=team": explainedA, "GET /v1/acl/tokens?ns=team": "[" + tokenA + "]"}
	for _, c := range []struct{ name, command, golden, body string }{
		{"a token by the beginning of its accessor", "acl explain -accessor-id 138c -resource service -access write -segment web -namespace team", "acl_explain",
			`{"AccessorID":"138c06b4-05c8-a868-20a5-d6b9c3140c17","Resource":"service","Access":"write","Segment":"web"}`},
		{"one's own token, as JSON", "acl explain -self -resource service -access write -segment web -namespace team -format json", "acl_explain_json",
			`{"AccessorID":null,"Resource":"service","Access":"write","Segment":"web"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := newAPI(t, play)
			got := api.run(t, strings.Fields(c.command)...)
			if got.code != 0 {
				t.Fatal(got.err)
			}
			golden(t, c.golden, got.out)
			api.body(t, "POST /v1/acl/explain?ns=team", c.body)
		})
	}
}

func TestACLExplainComplains(t *testing.T) {
	for _, c := range []struct{ command, err string }{
		{"acl explain -resource key -access read", "Must specify either the -accessor-id parameter or -self\n"},
		{"acl explain -self -accessor-id x -resource key -access read", "Must specify either the -accessor-id parameter or -self\n"},
		{"acl explain -self -access read", "Missing required '-resource' flag\n"},
		{"acl explain -self -resource key", "Missing required '-access' flag\n"},
		{"acl explain -self -resource key -access eat", "Error explaining: Unexpected response code: 400 (invalid access \"eat\")\n"},
	} {
		got := newAPI(t, answers{"POST /v1/acl/explain": `400 invalid access "eat"`}).run(t, strings.Fields(c.command)...)
		if got.code != 1 || !strings.HasPrefix(got.err, c.err) {
			t.Errorf("%s: %+v", c.command, got)
		}
	}
}
