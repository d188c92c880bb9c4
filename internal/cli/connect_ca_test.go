package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const caConfigPlayed = `{"Provider":"consul","Config":{"IntermediateCertTTL":"8760h","LeafCertTTL":"72h","RootCertTTL":"87600h"},"State":null,` +
	`"ForceWithoutCrossSigning":false,"CreateIndex":9,"ModifyIndex":9}`

func TestTheConfigurationOfTheMeshCA(t *testing.T) {
	const path = "/v1/connect/ca/configuration"
	got := newAPI(t, answers{"GET " + path: caConfigPlayed}).run(t, "connect", "ca", "get-config")
	want := "{\n\t\"Provider\": \"consul\",\n\t\"Config\": {\n\t\t\"IntermediateCertTTL\": \"8760h\",\n\t\t\"LeafCertTTL\": \"72h\",\n\t\t\"RootCertTTL\": \"87600h\"\n\t},\n" +
		"\t\"State\": null,\n\t\"ForceWithoutCrossSigning\": false,\n\t\"CreateIndex\": 9,\n\t\"ModifyIndex\": 9\n}\n"
	if got.code != 0 || got.out != want || got.err != "" {
		t.Errorf("%d %q\n%s", got.code, got.err, got.out)
	}
	file := filepath.Join(t.TempDir(), "ca.json")
	if err := os.WriteFile(file, []byte(got.out), 0o600); err != nil {
		t.Fatal(err)
	}
	for flags, body := range map[string]string{
		"":                             caConfigPlayed,
		"-force-without-cross-signing": strings.Replace(caConfigPlayed, `Signing":false`, `Signing":true`, 1),
	} {
		api := newAPI(t, answers{"PUT " + path: " "})
		got := api.run(t, append([]string{"connect", "ca", "set-config", "-config-file", file}, strings.Fields(flags)...)...)
		if got.code != 0 || got.out != "Configuration updated!\n" || got.err != "" {
			t.Errorf("%s: %+v", flags, got)
		}
		api.body(t, "PUT "+path, body)
	}
}

func TestComplaintsAboutTheMeshCA(t *testing.T) {
	const path = "/v1/connect/ca/configuration"
	file := filepath.Join(t.TempDir(), "ca.json")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name, command, file string
		play                answers
		err                 string
	}{
		{"get-config denied", "get-config", "", answers{"GET " + path: "403 no"}, "Error querying CA configuration: Unexpected response code: 403 (no)"},
		{"no file", "set-config", "", nil, "The -config-file flag is required"},
		{"a file that is not there", "set-config -config-file " + file + ".gone", "", nil, "Error reading config file: "},
		{"no JSON", "set-config -config-file " + file, "hello", nil, "Error parsing config file: "},
		{"two configurations", "set-config -config-file " + file, `{"Provider":"consul"} {}`, nil, "Error parsing config file: there is something after the configuration"},
		{"an unknown key", "set-config -config-file " + file, `{"Surprise":1}`, nil, `Error parsing config file: json: unknown field "Surprise"`},
		{"refused", "set-config -config-file " + file, `{"Provider":"bogus"}`, answers{"PUT " + path: `400 could not initialize provider: unknown CA provider "bogus"`},
			`Error setting CA configuration: Unexpected response code: 400 (could not initialize provider: unknown CA provider "bogus")`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			write(tc.file)
			got := newAPI(t, tc.play).run(t, append([]string{"connect", "ca"}, strings.Fields(tc.command)...)...)
			if got.code != 1 || got.out != "" || !strings.HasPrefix(got.err, tc.err) {
				t.Errorf("exit code %d, stdout %q, stderr\n%s", got.code, got.out, got.err)
			}
		})
	}
}
