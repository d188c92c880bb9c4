package ca

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// maxPEM bounds a certificate or key that an operator gives, in bytes.
const maxPEM = 32 << 10

// ParseSettings reads a provider's configuration as the API or a configuration file has it: keys
// in CamelCase or in snake_case, durations as text or in nanoseconds. What it leaves out has its
// default. Its errors are of kind errs.Invalid.
func ParseSettings(provider string, raw map[string]any) (Settings, error) {
	s := Settings{Config: DefaultConfig()}
	s.Provider, s.PrivateKeyType, s.PrivateKeyBits = provider, "", 0
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		name := strings.ToLower(strings.ReplaceAll(key, "_", ""))
		if seen[name] {
			return s, wrongConfig("%s is there twice", key)
		}
		seen[name] = true
		if err := s.set(name, key, raw[key]); err != nil {
			return s, err
		}
	}
	if err := s.settleKey(); err != nil {
		return s, err
	}
	return s, s.check()
}

// set takes one setting over. Its name is in lower case without underscores.
func (s *Settings) set(name, key string, value any) (err error) {
	switch name {
	case "leafcertttl":
		s.LeafCertTTL, err = durationOf(key, value)
	case "intermediatecertttl":
		s.IntermediateCertTTL, err = durationOf(key, value)
	case "rootcertttl":
		s.RootCertTTL, err = durationOf(key, value)
	case "privatekeytype":
		s.PrivateKeyType, err = textOf(key, value)
	case "privatekeybits":
		s.PrivateKeyBits, err = integerOf(key, value)
	case "csrmaxpersecond":
		s.CSRMaxPerSecond, err = numberOf(key, value)
	case "csrmaxconcurrent":
		s.CSRMaxConcurrent, err = integerOf(key, value)
	case "rootcert":
		s.RootCert, err = textOf(key, value)
	case "privatekey":
		var text string
		text, err = textOf(key, value)
		s.PrivateKey = logging.Secret(text)
	case "clusterid":
		s.ClusterID, err = textOf(key, value)
	case "teststate":
		s.State, err = tableOf(key, value)
	default:
		return wrongConfig("unknown key %q", key)
	}
	return err
}

// settleKey completes the key's type and size: those of the key that is given, or the defaults.
func (s *Settings) settleKey() error {
	if s.PrivateKey != "" {
		key, err := parseKey(s.PrivateKey)
		if err != nil {
			return wrongConfig("private key: %w", err)
		}
		kind, bits := keyType(key.Public())
		if s.PrivateKeyType != "" && s.PrivateKeyType != kind || s.PrivateKeyBits != 0 && s.PrivateKeyBits != bits {
			return wrongConfig("the private key has type %q and %d bits, not what PrivateKeyType and PrivateKeyBits say", kind, bits)
		}
		s.PrivateKeyType, s.PrivateKeyBits = kind, bits
		return nil
	}
	if s.PrivateKeyType == "" {
		s.PrivateKeyType = ecType
	}
	if s.PrivateKeyBits == 0 {
		s.PrivateKeyBits = 256
		if s.PrivateKeyType == rsaType {
			s.PrivateKeyBits = 2048
		}
	}
	return nil
}

func textOf(key string, value any) (string, error) {
	text, ok := value.(string)
	if !ok || len(text) > maxPEM {
		return "", wrongConfig("%s has to be a text of at most %d bytes", key, maxPEM)
	}
	return text, nil
}

func durationOf(key string, value any) (time.Duration, error) {
	if text, ok := value.(string); ok {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, wrongConfig("%s: %w", key, err)
		}
		return d, nil
	}
	n, err := numberOf(key, value)
	if err != nil || math.Abs(n) > math.MaxInt64/2 {
		return 0, wrongConfig("%s has to be a duration such as 72h", key)
	}
	return time.Duration(n), nil
}

func integerOf(key string, value any) (int, error) {
	n, err := numberOf(key, value)
	if err != nil || n != math.Trunc(n) || math.Abs(n) > math.MaxInt32 {
		return 0, wrongConfig("%s has to be a whole number", key)
	}
	return int(n), nil
}

func numberOf(key string, value any) (float64, error) {
	switch value := value.(type) {
	case float64:
		return value, nil
	case int:
		return float64(value), nil
	case int64:
		return float64(value), nil
	case json.Number:
		return numberOf(key, value.String())
	case string:
		if n, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			return n, nil
		}
	}
	return 0, wrongConfig("%s has to be a number", key)
}

// maxState bounds the entries of a provider's state.
const maxState = 64

func tableOf(key string, value any) (map[string]string, error) {
	object, ok := value.(map[string]any)
	if !ok || len(object) > maxState {
		return nil, wrongConfig("%s has to be an object of at most %d texts", key, maxState)
	}
	out := make(map[string]string, len(object))
	for name, value := range object {
		text, err := textOf(key, value)
		if err != nil {
			return nil, err
		}
		out[name] = text
	}
	return out, nil
}

// Show returns the configuration with the keys and in the form that ParseSettings reads: the three
// lives, and what else is not the default. The private key is not among them.
func (c *Config) Show() map[string]any {
	out := map[string]any{
		"LeafCertTTL":         durationText(c.LeafCertTTL),
		"IntermediateCertTTL": durationText(c.IntermediateCertTTL),
		"RootCertTTL":         durationText(c.RootCertTTL),
	}
	normal := DefaultConfig()
	if c.PrivateKeyType != normal.PrivateKeyType || c.PrivateKeyBits != normal.PrivateKeyBits {
		out["PrivateKeyType"], out["PrivateKeyBits"] = c.PrivateKeyType, c.PrivateKeyBits
	}
	if c.CSRMaxPerSecond != normal.CSRMaxPerSecond {
		out["CSRMaxPerSecond"] = c.CSRMaxPerSecond
	}
	if c.CSRMaxConcurrent != normal.CSRMaxConcurrent {
		out["CSRMaxConcurrent"] = c.CSRMaxConcurrent
	}
	if c.RootCert != "" {
		out["RootCert"] = c.RootCert
	}
	return out
}

// durationText writes a duration without parts that are zero: 72h.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
