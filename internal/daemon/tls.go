package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
)

// certificates hold a listener's key pair and trusted roots, replaced as a
// whole at a reload; connections that are open go on with what they have.
type certificates struct {
	current atomic.Pointer[tls.Config]
}

// load reads the files of c and makes them current. On an error the old ones stay.
func (s *certificates) load(c TLSListener) error {
	cfg, err := serverTLS(c)
	if err != nil {
		return err
	}
	s.current.Store(cfg)
	return nil
}

// config returns the tls.Config for a listener that follows reloads.
func (s *certificates) config() *tls.Config {
	first := s.current.Load().Clone()
	first.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.current.Load(), nil }
	return first
}

// serverTLS builds the TLS settings of a listener (spec: agent.md section 13.1).
func serverTLS(c TLSListener) (*tls.Config, error) {
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, fmt.Errorf("cert_file and key_file are needed for HTTPS")
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate and key: %w", err)
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if c.MinVersion != "" {
		version, known := tlsVersions[c.MinVersion]
		if !known {
			return nil, fmt.Errorf("tls_min_version: unknown version %q, want TLSv1_0 to TLSv1_3", c.MinVersion)
		}
		cfg.MinVersion = version
	}
	if cfg.CipherSuites, err = cipherSuites(c.CipherSuites); err != nil {
		return nil, err
	}
	if !c.VerifyIncoming {
		return cfg, nil
	}
	if cfg.ClientCAs, err = loadRoots(c); err != nil {
		return nil, err
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}

var tlsVersions = map[string]uint16{
	"TLSv1_0": tls.VersionTLS10, "TLSv1_1": tls.VersionTLS11, "TLSv1_2": tls.VersionTLS12, "TLSv1_3": tls.VersionTLS13,
}

func cipherSuites(names []string) ([]uint16, error) {
	var ids []uint16
	for _, name := range names {
		suites := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
		i := slices.IndexFunc(suites, func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("tls_cipher_suites: unsupported cipher %q", name)
		}
		ids = append(ids, suites[i].ID)
	}
	return ids, nil
}

// loadRoots reads ca_file and the .pem, .crt and .cer files of ca_path.
func loadRoots(c TLSListener) (*x509.CertPool, error) {
	var files []string
	if c.CAFile != "" {
		files = append(files, c.CAFile)
	}
	if c.CAPath != "" {
		entries, err := os.ReadDir(c.CAPath)
		if err != nil {
			return nil, fmt.Errorf("Error loading from %s: %w", c.CAPath, err)
		}
		for _, entry := range entries {
			if ext := strings.ToLower(filepath.Ext(entry.Name())); ext == ".pem" || ext == ".crt" || ext == ".cer" {
				files = append(files, filepath.Join(c.CAPath, entry.Name()))
			}
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("VerifyIncoming set but no CA certificates were provided")
	}
	roots := x509.NewCertPool()
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("Error loading from %s: %w", file, err)
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("Error loading from %s: no certificate found", file)
		}
	}
	return roots, nil
}
