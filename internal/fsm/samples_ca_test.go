package fsm

import (
	"time"

	"github.com/lictor/lictor/internal/ca"
)

// caSetup is what the samples about the mesh CA need: a root that signs, and one that it has replaced.
func caSetup() []Command {
	return []Command{
		CARootSet{Root: ca.Root{ID: "old", TrustDomain: "u.consul", RotatedOut: sampleTime}},
		CARootSet{Root: ca.Root{ID: "signs", TrustDomain: "u.consul", Active: true, CrossCerts: []ca.CrossCert{{SignedBy: "old", Cert: "-----BEGIN"}}}},
	}
}

func caSamples() []sample {
	config := ca.DefaultConfig()
	config.LeafCertTTL, config.RootCert, config.State = 2*time.Hour, "-----BEGIN", map[string]string{"a": "b"}
	config.CSRMaxConcurrent, config.ForceWithoutCrossSigning = 4, true
	return []sample{
		{110, CASet{Config: config, IfActive: "signs", Root: &ca.Root{
			ID: "aa:cc", Name: "a root", TrustDomain: "u.consul", RootCert: "-----BEGIN", PrivateKey: "key", Created: sampleTime,
			Provider: ca.ConsulProvider, CrossCerts: []ca.CrossCert{{SignedBy: "old", Cert: "-----BEGIN"}}, LeafTTL: time.Hour,
		}}, true},
		{111, CARootsPrune{IDs: []string{"old"}}, false},
	}
}
