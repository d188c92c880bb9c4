package ca

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// keyText returns a private key as PEM.
func keyText(t testing.TB, kind string, bits int) string {
	t.Helper()
	spec := RootSpec{Settings: Settings{Config: Config{PrivateKeyType: kind, PrivateKeyBits: bits}}}
	key, err := spec.key()
	if err != nil {
		t.Fatal(err)
	}
	text, err := encodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal()
}

func TestSettingsAndTheirDefaults(t *testing.T) {
	change := func(do func(*Config)) Config {
		c := DefaultConfig()
		do(&c)
		return c
	}
	for _, tc := range []struct {
		name string
		raw  map[string]any
		want Config
	}{
		{"nothing", nil, DefaultConfig()},
		{"lives as text", map[string]any{"LeafCertTTL": "2h", "IntermediateCertTTL": "10h", "RootCertTTL": "20h"},
			change(func(c *Config) {
				c.LeafCertTTL, c.IntermediateCertTTL, c.RootCertTTL = 2*time.Hour, 10*time.Hour, 20*time.Hour
			})},
		{"lives in nanoseconds", map[string]any{"LeafCertTTL": float64(2 * time.Hour)}, change(func(c *Config) { c.LeafCertTTL = 2 * time.Hour })},
		{"as in a file", map[string]any{"leaf_cert_ttl": "2h", "csr_max_per_second": 2.5, "csr_max_concurrent": float64(3)},
			change(func(c *Config) { c.LeafCertTTL, c.CSRMaxPerSecond, c.CSRMaxConcurrent = 2*time.Hour, 2.5, 3 })},
		{"numbers as text", map[string]any{"CSRMaxConcurrent": "3", "PrivateKeyBits": "384"}, change(func(c *Config) { c.CSRMaxConcurrent, c.PrivateKeyBits = 3, 384 })},
		{"an RSA key without a size", map[string]any{"PrivateKeyType": "rsa"}, change(func(c *Config) { c.PrivateKeyType, c.PrivateKeyBits = "rsa", 2048 })},
		{"a key says what it is", map[string]any{"PrivateKey": keyText(t, "ec", 521)}, change(func(c *Config) { c.PrivateKeyBits = 521 })},
		{"an empty key", map[string]any{"PrivateKey": "", "RootCert": ""}, DefaultConfig()},
		{"a provider's state", map[string]any{"test_state": map[string]any{"foo": "bar"}}, change(func(c *Config) { c.State = map[string]string{"foo": "bar"} })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseSettings(ConsulProvider, tc.raw)
			if err != nil || !reflect.DeepEqual(got.Config, tc.want) {
				t.Errorf("got %+v, %v\nwant %+v", got.Config, err, tc.want)
			}
		})
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	const head = "error configuring provider: "
	for _, tc := range []struct {
		raw  map[string]any
		says string
	}{
		{map[string]any{"LeafCertTTL": "59m"}, head + "leaf cert TTL must be greater or equal than 1h0m0s"},
		{map[string]any{"LeafCertTTL": "8761h"}, head + "leaf cert TTL must be less or equal than 8760h0m0s"},
		{map[string]any{"LeafCertTTL": "72h", "IntermediateCertTTL": "215h"}, head + "intermediate cert TTL must be greater or equal than 216h0m0s"},
		{map[string]any{"RootCertTTL": "8760h"}, head + "root cert TTL must be greater than 8760h0m0s"},
		{map[string]any{"LeafCertTTL": "soon"}, head + "LeafCertTTL: time: invalid duration"},
		{map[string]any{"LeafCertTTL": 1e300}, head + "LeafCertTTL has to be a duration"},
		{map[string]any{"LeafCertTTL": true}, head + "LeafCertTTL has to be a duration"},
		{map[string]any{"PrivateKeyType": "dsa"}, head + `private key type must be "ec" or "rsa"`},
		{map[string]any{"PrivateKeyBits": 255.0}, head + "an EC private key has"},
		{map[string]any{"PrivateKeyType": "rsa", "PrivateKeyBits": 1024.0}, head + "an RSA private key has"},
		{map[string]any{"PrivateKeyBits": 256.5}, head + "PrivateKeyBits has to be a whole number"},
		{map[string]any{"PrivateKey": "hello"}, head + "private key: not one PEM block"},
		{map[string]any{"PrivateKey": keyText(t, "ec", 384), "PrivateKeyBits": 256.0}, head + `the private key has type "ec" and 384 bits`},
		{map[string]any{"PrivateKey": strings.Repeat("a", maxPEM+1)}, head + "PrivateKey has to be a text of at most"},
		{map[string]any{"CSRMaxPerSecond": -1.0}, head + "CSRMaxPerSecond cannot be negative"},
		{map[string]any{"CSRMaxPerSecond": "NaN"}, head + "CSRMaxPerSecond has to be a number"},
		{map[string]any{"CSRMaxConcurrent": -1.0}, head + "CSRMaxConcurrent cannot be negative"},
		{map[string]any{"Surprise": 1.0}, head + `unknown key "Surprise"`},
		{map[string]any{"LeafCertTTL": "2h", "leaf_cert_ttl": "3h"}, head + "leaf_cert_ttl is there twice"},
		{map[string]any{"test_state": map[string]any{"a": 1.0}}, head + "test_state has to be a text"},
	} {
		_, err := ParseSettings(ConsulProvider, tc.raw)
		if err == nil || errs.KindOf(err) != errs.Invalid || !strings.HasPrefix(err.Error(), tc.says) {
			t.Errorf("%v: got %v\nwant %s", tc.raw, err, tc.says)
		}
	}
	if _, err := ParseSettings("bogus", nil); err == nil || err.Error() != `could not initialize provider: unknown CA provider "bogus"` {
		t.Errorf("got %v", err)
	}
}

// What is shown can be given back, and changes nothing.
func TestSettingsComeBackAsTheyAreShown(t *testing.T) {
	normal := DefaultConfig()
	if got := normal.Show(); !maps.Equal(got, map[string]any{"LeafCertTTL": "72h", "IntermediateCertTTL": "8760h", "RootCertTTL": "87600h"}) {
		t.Errorf("the defaults are shown as %v", got)
	}
	for name, raw := range map[string]map[string]any{
		"all":      {"LeafCertTTL": "1h30m", "PrivateKeyType": "rsa", "PrivateKeyBits": 4096.0, "CSRMaxPerSecond": 0.0, "CSRMaxConcurrent": 7.0},
		"odd ones": {"LeafCertTTL": "1h0m1s", "RootCertTTL": "90000h0m30s"},
		"a key":    {"PrivateKey": keyText(t, "ec", 384)},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := ParseSettings(ConsulProvider, raw)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(s.Show())
			if err != nil || strings.Contains(string(text), "PRIVATE KEY") {
				t.Fatalf("shown as %s, %v", text, err)
			}
			var shown map[string]any
			if err := json.Unmarshal(text, &shown); err != nil {
				t.Fatal(err)
			}
			again, err := ParseSettings(ConsulProvider, shown)
			if err != nil || !reflect.DeepEqual(again.Config, s.Config) {
				t.Errorf("%s becomes %+v, %v\nwant %+v", text, again.Config, err, s.Config)
			}
		})
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add(`{"LeafCertTTL":"72h","PrivateKey":"x"}`)
	f.Add(`{"leaf_cert_ttl":259200000000000,"test_state":{"a":"b"},"CSRMaxPerSecond":1e9}`)
	f.Fuzz(func(t *testing.T, text string) {
		var raw map[string]any
		if json.Unmarshal([]byte(text), &raw) != nil {
			return
		}
		s, err := ParseSettings(ConsulProvider, raw)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("%s: %v", text, err)
			}
			return
		}
		if again, err := ParseSettings(ConsulProvider, s.Show()); err != nil || again.LeafCertTTL != s.LeafCertTTL {
			t.Errorf("%s becomes %+v, %v", text, again, err)
		}
	})
}

func TestKeysOfOperators(t *testing.T) {
	for _, text := range []logging.Secret{
		"", "hello", logging.Secret(meshRoot(t).RootCert),
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n-----END PRIVATE KEY-----\n", // X25519
		"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n", // Ed25519
		logging.Secret(keyText(t, ecType, 256) + keyText(t, ecType, 256)),
	} {
		if _, err := parseKey(text); err == nil {
			t.Errorf("%s is taken for a key", text.Reveal())
		}
	}
}
