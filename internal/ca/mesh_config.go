package ca

import (
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// ConsulProvider is the name of the provider that keeps its keys in the replicated state.
const ConsulProvider = "consul"

// Defaults and bounds of a Config (spec: mesh.md section 1.2).
const (
	defaultLeafTTL         = 72 * time.Hour
	defaultIntermediateTTL = 8760 * time.Hour
	defaultRootTTL         = 87600 * time.Hour
	minLeafTTL             = time.Hour
	maxLeafTTL             = 8760 * time.Hour
	defaultCSRsPerSecond   = 50

	ecType  = "ec"
	rsaType = "rsa"
)

// Config is what an operator chooses about the mesh CA. It has no secret in it.
type Config struct {
	Provider            string
	LeafCertTTL         time.Duration // of certificates of services and client agents
	IntermediateCertTTL time.Duration // of cross-signed certificates
	RootCertTTL         time.Duration // of the next root that the provider makes
	PrivateKeyType      string        // "ec" or "rsa"
	PrivateKeyBits      int
	RootCert            string  // PEM, given by the operator; "" if the provider makes roots
	CSRMaxPerSecond     float64 // that one server signs for services; 0 is no limit
	CSRMaxConcurrent    int     // at a time on one server; 0 leaves it to CSRMaxPerSecond, more takes its place

	ForceWithoutCrossSigning bool              // the next root is not signed by the one before
	State                    map[string]string // what the provider remembers
	CreateIndex              uint64
	ModifyIndex              uint64
}

// Settings are a Config and what is given beside it and shown to nobody.
type Settings struct {
	Config
	PrivateKey logging.Secret // PEM, of the next root; "" has the provider make one where it needs it
	ClusterID  string         // the UUID in the trust domain, for a cluster that begins; "" is a new one
}

// DefaultConfig is what counts before anybody has chosen.
func DefaultConfig() Config {
	return Config{
		Provider:    ConsulProvider,
		LeafCertTTL: defaultLeafTTL, IntermediateCertTTL: defaultIntermediateTTL, RootCertTTL: defaultRootTTL,
		PrivateKeyType: ecType, PrivateKeyBits: 256, CSRMaxPerSecond: defaultCSRsPerSecond,
	}
}

// check applies the rules about a Config's values. Its errors are of kind errs.Invalid.
func (c *Config) check() error {
	switch {
	case c.Provider != ConsulProvider:
		return errs.Errorf(errs.Invalid, "could not initialize provider: unknown CA provider %q", c.Provider)
	case c.LeafCertTTL < minLeafTTL:
		return wrongConfig("leaf cert TTL must be greater or equal than %s", minLeafTTL)
	case c.LeafCertTTL > maxLeafTTL:
		return wrongConfig("leaf cert TTL must be less or equal than %s", maxLeafTTL)
	case c.IntermediateCertTTL < 3*c.LeafCertTTL:
		return wrongConfig("intermediate cert TTL must be greater or equal than %s, 3 times the leaf cert TTL", 3*c.LeafCertTTL)
	case c.RootCertTTL <= c.IntermediateCertTTL:
		return wrongConfig("root cert TTL must be greater than %s, the intermediate cert TTL", c.IntermediateCertTTL)
	case c.CSRMaxPerSecond < 0:
		return wrongConfig("CSRMaxPerSecond cannot be negative")
	case c.CSRMaxConcurrent < 0:
		return wrongConfig("CSRMaxConcurrent cannot be negative")
	}
	return checkKeyType(c.PrivateKeyType, c.PrivateKeyBits)
}

func checkKeyType(kind string, bits int) error {
	switch {
	case kind == ecType && bits != 224 && bits != 256 && bits != 384 && bits != 521:
		return wrongConfig("an EC private key has 224, 256, 384 or 521 bits, not %d", bits)
	case kind == rsaType && bits != 2048 && bits != 4096:
		return wrongConfig("an RSA private key has 2048 or 4096 bits, not %d", bits)
	case kind != ecType && kind != rsaType:
		return wrongConfig(`private key type must be "ec" or "rsa", not %q`, kind)
	}
	return nil
}

func wrongConfig(format string, args ...any) error {
	return errs.Errorf(errs.Invalid, "error configuring provider: "+format, args...)
}
