package config

import (
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/ca"
)

func TestTheMeshCAOfAClusterThatBegins(t *testing.T) {
	load := func(stanza string) (ca.Settings, error) {
		c, _, err := Load(Sources{Fragments: []string{`data_dir = "/tmp/x" bind_addr = "127.0.0.1" ` + stanza}})
		return c.MeshCA, err
	}
	const id = "11111111-2222-3333-4444-555555555555"
	got, err := load(`connect { enabled = true ca_provider = "consul" ca_config { leaf_cert_ttl = "2h" private_key_type = "rsa" csr_max_concurrent = 3 cluster_id = "` + id + `" } }`)
	if err != nil || got.LeafCertTTL != 2*time.Hour || got.PrivateKeyType != "rsa" || got.PrivateKeyBits != 2048 || got.CSRMaxConcurrent != 3 || got.ClusterID != id {
		t.Errorf("got %+v, %v", got, err)
	}
	for stanza, says := range map[string]string{
		`connect { ca_provider = "bogus" }`:                   `could not initialize provider: unknown CA provider "bogus"`,
		`connect { ca_config { leaf_cert_ttl = "1s" } }`:      "connect.ca_config: error configuring provider: leaf cert TTL must be greater or equal than 1h0m0s",
		`connect { ca_config { surprise = 1 } }`:              `connect.ca_config: error configuring provider: unknown key "surprise"`,
		`connect { ca_config { private_key = "not a key" } }`: "connect.ca_config: error configuring provider: private key: not one PEM block",
	} {
		if _, err := load(stanza); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "not a key") {
			t.Errorf("%s: %v", stanza, err)
		}
	}
}
