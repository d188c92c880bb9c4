package config

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/daemon"
)

func TestConfigEntriesOfFiles(t *testing.T) {
	for name, text := range map[string]string{
		"a.hcl": `config_entries { bootstrap = [{ kind = "proxy-defaults", name = "global", config { protocol = "http", n = 5 } },
			{ kind = "service-intentions" name = "*" sources = [{ name = "*", action = "deny" }] }] }
			default_intention_policy = "deny"`,
		"b.hcl": "config_entries {\n bootstrap { Kind = \"proxy-defaults\"\n Name = \"global\"\n Config { protocol = \"http\"\n n = 5 } }\n" +
			" bootstrap { Kind = \"service-intentions\"\n Name = \"*\"\n Sources { Name = \"*\"\n Action = \"deny\" } }\n}\ndefault_intention_policy = \"deny\"",
		"c.json": `{"config_entries":{"bootstrap":[{"Kind":"proxy-defaults","Name":"global","Config":{"protocol":"http","n":5}},
			{"kind":"service-intentions","name":"*","sources":[{"name":"*","action":"deny"}]}]},"default_intention_policy":"deny"}`,
	} {
		t.Run(name, func(t *testing.T) {
			c, err := loadText(t, name, text)
			if err != nil {
				t.Fatal(err)
			}
			if c.DefaultIntentionPolicy != "deny" || len(c.BootstrapEntries) != 2 {
				t.Fatalf("got %+v", c.BootstrapEntries)
			}
			first, second := c.BootstrapEntries[0], c.BootstrapEntries[1]
			if first.Kind != configentry.KindProxyDefaults || first.ProxyDefaults.Config["n"] != 5.0 || first.Partition != "default" {
				t.Errorf("got %+v", first)
			}
			if s := second.ServiceIntentions.Sources; len(s) != 1 || s[0].Precedence != 5 {
				t.Errorf("got %+v", s)
			}
		})
	}
	for text, want := range map[string]string{
		`config_entries { bootstrap { kind = "bogus" } }`:                        "config_entries.bootstrap: entry 1: invalid config entry kind: bogus",
		`config_entries { bootstrap { kind = "mesh" bogus = 1 } }`:               `invalid config key "bogus"`,
		`config_entries { bootstrap { kind = "service-defaults" } }`:             "Name is required",
		`config_entries { bootstrap { kind = "mesh", partition = "-" } }`:        "Invalid Partition",
		`default_intention_policy = "maybe"`:                                     `unsupported policy "maybe"`,
		`config_entries { bootstrap { kind = "service-splitter", name = "a" } }`: "not supported yet",
	} {
		if _, err := loadText(t, "a.hcl", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}

func FuzzEntryText(f *testing.F) {
	f.Add("Kind = \"proxy-defaults\"\nName = \"global\"\nConfig { protocol = \"http\" }")
	f.Add(`{"Kind":"mesh","TLS":{"Incoming":{}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if e, err := EntryText([]byte(text)); err == nil && e.Kind == "" {
			t.Error("an entry without a kind")
		}
	})
}

// loadText loads a configuration that is one file.
func loadText(t *testing.T, name, text string) (daemon.Config, error) {
	t.Helper()
	c, _, err := Load(sources(t, "-data-dir", "/d", "-config-dir", write(t, map[string]string{name: text})))
	return c, err
}
