package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	intentionID   = "1de40000-0000-4000-8000-000000000001"
	oneIntention  = `{"ID":"` + intentionID + `","Description":"the shop","SourceNS":"default","SourceName":"web","DestinationNS":"team","DestinationName":"db","SourceType":"consul","Action":"allow","Meta":{"a":"b"},"Precedence":9,"CreatedAt":"2026-11-21T21:57:41Z","UpdatedAt":"2026-11-21T21:57:41Z","CreateIndex":5,"ModifyIndex":6}`
	byRequest     = `{"SourceNS":"default","SourceName":"*","DestinationNS":"default","DestinationName":"api","SourceType":"consul","Permissions":[{"Action":"allow"},{"Action":"deny"}],"Precedence":8}`
	webDefaults   = `{"Kind":"service-defaults","Name":"web","Protocol":"http","TransparentProxy":{},"MeshGateway":{},"Expose":{},"Hash":7,"CreateIndex":5,"ModifyIndex":6}`
	exactLine     = "/v1/connect/intentions/exact?destination=db&source=web"
	intentionsURL = "/v1/connect/intentions"
)

func TestIntentionAndConfigOutput(t *testing.T) {
	tests := []struct {
		golden, command string
		play            answers
	}{
		{"intention_list", "intention list -namespace *", answers{"GET /v1/connect/intentions?ns=%2A": "[" + oneIntention + "," + byRequest + "]"}},
		{"intention_get", "intention get web db", answers{"GET " + exactLine: oneIntention}},
		{"intention_get_id", "intention get " + intentionID, answers{"GET /v1/connect/intentions/" + intentionID: oneIntention}},
		{"intention_match", "intention match web", answers{"GET /v1/connect/intentions/match?by=destination&name=web": `{"web":[` + oneIntention + "," + byRequest + "]}"}},
		{"intention_match_source", "intention match -source web", answers{"GET /v1/connect/intentions/match?by=source&name=web": `{"web":[` + oneIntention + "]}"}},
		{"intention_create", "intention create -deny -meta a=b web team/db", answers{"POST " + intentionsURL: `{"ID":"` + intentionID + `"}`}},
		{"intention_replace", "intention create -replace web db", answers{"GET " + exactLine: oneIntention, "PUT /v1/connect/intentions/" + intentionID: `{"ID":"x"}`}},
		{"intention_create_partition", "intention create east/default/web team/db", answers{"POST " + intentionsURL: `{"ID":"` + intentionID + `"}`}},
		{"intention_delete", "intention delete web db", answers{"DELETE " + exactLine: "true"}},
		{"config_read", "config read -kind service-defaults -name web", answers{"GET /v1/config/service-defaults/web": webDefaults}},
		{"config_list", "config list -kind service-defaults", answers{"GET /v1/config/service-defaults": "[" + webDefaults + "]"}},
		{"config_delete", "config delete -kind service-defaults -name web -cas -modify-index 6", answers{"DELETE /v1/config/service-defaults/web?cas=6": "true"}},
	}
	for _, tc := range tests {
		t.Run(tc.golden, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			if got.code != 0 || got.err != "" {
				t.Fatalf("exit code %d: %s", got.code, got.err)
			}
			golden(t, tc.golden, got.out)
		})
	}
}

func TestWhatIntentionCheckSays(t *testing.T) {
	const line = "GET /v1/connect/intentions/check?destination=db&source=web&source-type=consul"
	for _, c := range []struct {
		answer, out, err string
		code             int
	}{
		{`{"Allowed":true}`, "Allowed\n", "", 0},
		{`{"Allowed":false}`, "Denied\n", "", 1},
		{"403 Permission denied", "", "Error checking the connection: Unexpected response code: 403 (Permission denied)\n", 2},
	} {
		got := newAPI(t, answers{line: c.answer}).run(t, "intention", "check", "web", "db")
		if got.code != c.code || got.out != c.out || got.err != c.err {
			t.Errorf("%s: %+v", c.answer, got)
		}
	}
}

func TestConfigEntriesAreWrittenFromFiles(t *testing.T) {
	const sent = `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"web","Action":"allow","Precedence":0,"Type":""},{"Name":"*","Action":"deny","Precedence":0,"Type":""}],"CreateIndex":0,"ModifyIndex":0}`
	for _, c := range []struct{ name, text, sent string }{
		{"HCL with blocks", "Kind = \"service-intentions\"\nName = \"db\"\nSources { Name = \"web\" Action = \"allow\" }\nSources { Name = \"*\" Action = \"deny\" }\n", sent},
		{"HCL with a list", "kind = \"service-intentions\"\nname = \"db\"\nsources = [{ name = \"web\", action = \"allow\" }, { name = \"*\" action = \"deny\" }]\n", sent},
		{"JSON", `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"web","Action":"allow"},{"Name":"*","Action":"deny"}]}`, sent},
		{"HCL with free-form data", "Kind = \"proxy-defaults\"\nName = \"global\"\nConfig { protocol = \"http\" n = 5 list = [1, \"a\"] }\n",
			`{"Kind":"proxy-defaults","Name":"global","Config":{"list":[1,"a"],"n":5,"protocol":"http"},"TransparentProxy":{},"MeshGateway":{},"Expose":{},"CreateIndex":0,"ModifyIndex":0}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "entry")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			api := newAPI(t, answers{"PUT /v1/config": "true", "PUT /v1/config?cas=0": "false"})
			if got := api.run(t, "config", "write", path); got.code != 0 || !strings.HasPrefix(got.out, "Config entry written: ") {
				t.Errorf("%+v", got)
			}
			if body := api.asked[0].body; body != c.sent {
				t.Errorf("sent %s\nwant %s", body, c.sent)
			}
			if got := api.run(t, "config", "write", "-cas", path); got.code != 1 || !strings.HasPrefix(got.err, "Config entry not updated: ") {
				t.Errorf("%+v", got)
			}
		})
	}
	got := world{stdin: `{"Kind":"bogus"}`}.run(t, "config", "write", "-")
	if got.code != 1 || got.err != "Failed to decode config entry input: invalid config entry kind: bogus\n" {
		t.Errorf("%+v", got)
	}
}

func TestComplaintsAboutIntentionsAndConfigEntries(t *testing.T) {
	const missing = "404 Config entry not found for \"k\" / \"n\""
	tests := []struct {
		name, command string
		play          answers
		err           string // the first line
	}{
		{"create with one argument", "intention create web", nil, "Error: must specify two arguments: source and destination"},
		{"create both ways", "intention create -allow -deny a b", nil, "Only one of -allow or -deny may be specified."},
		{"create twice", "intention create web db", answers{"POST " + intentionsURL: `400 Sources[1] defines "web" more than once`},
			`Error creating intention "web => db (allow)": Unexpected response code: 400 (Sources[1] defines "web" more than once)`},
		{"create in too many levels", "intention create a/b/c/d x", nil, `Invalid intention source: "a/b/c/d" can contain at most two '/'`},
		{"get nothing", "intention get web db", answers{"GET " + exactLine: "404 Intention not found"}, `Intention not found with source "web" and destination "db"`},
		{"match both ways", "intention match -source -destination x", nil, "Error: only one of -source or -destination may be specified"},
		{"write nothing", "config write", nil, "Must provide exactly one positional argument to specify the config entry to write"},
		{"write a missing file", "config write nosuch.hcl", nil, "Failed to load data: Failed to read file: open nosuch.hcl: no such file or directory"},
		{"read without a kind", "config read -name x", nil, "Must specify the -kind parameter"},
		{"read without a name", "config read -kind x", nil, "Must specify the -name parameter"},
		{"read what is missing", "config read -kind mesh -name x", answers{"GET /v1/config/mesh/x": missing},
			`Error reading config entry mesh/x: Unexpected response code: 404 (Config entry not found for "k" / "n")`},
		{"list without a kind", "config list", nil, "Must specify the -kind parameter"},
		{"delete without a kind", "config delete -name x", nil, "Must specify the -kind or -filename parameter"},
		{"delete without a name", "config delete -kind x", nil, "Must specify the -name parameter"},
		{"delete without an index", "config delete -kind x -name y -cas", nil, "Must specify a -modify-index greater than 0 with -cas"},
		{"delete what has changed", "config delete -kind mesh -name mesh -cas -modify-index 5", answers{"DELETE /v1/config/mesh/mesh?cas=5": "false"}, "Config entry not deleted: mesh/mesh"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, strings.Fields(tc.command)...)
			first, _, _ := strings.Cut(got.err, "\n")
			if got.code != 1 || got.out != "" || first != tc.err {
				t.Errorf("exit code %d, stdout %q\ngot  %q\nwant %q", got.code, got.out, got.err, tc.err)
			}
		})
	}
}
