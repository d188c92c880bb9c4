package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/peer"
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
	if old := s.current.Load(); old != nil && len(old.Certificates) > 0 && len(cfg.Certificates) == 0 {
		return errors.New("cert_file and key_file cannot be taken away from a listener that has them")
	}
	s.current.Store(cfg)
	return nil
}

// loaded reports whether there is a key pair.
func (s *certificates) loaded() bool { return s.current.Load() != nil }

// use makes a pair current that is in no file, with the demands of c.
func (s *certificates) use(pair ca.Pair, c TLSListener) error {
	loaded, err := tls.X509KeyPair(pair.Cert, []byte(pair.Key.Reveal()))
	if err != nil {
		return err
	}
	cfg, err := listenerTLS(c, loaded)
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
// Without a certificate every handshake fails, until a reload brings one.
func serverTLS(c TLSListener) (*tls.Config, error) {
	if c.CertFile == "" && c.KeyFile == "" {
		return listenerTLS(c)
	}
	pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate and key: %w", err)
	}
	return listenerTLS(c, pair)
}

func listenerTLS(c TLSListener, pairs ...tls.Certificate) (*tls.Config, error) {
	cfg := &tls.Config{Certificates: pairs, NextProtos: []string{"h2", "http/1.1"}}
	var err error
	if cfg.MinVersion, err = peer.MinVersion(c.MinVersion); err != nil {
		return nil, err
	}
	if cfg.CipherSuites, err = peer.CipherSuites(c.CipherSuites); err != nil {
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

// caFiles returns ca_file and the .pem, .crt and .cer files of ca_path.
func caFiles(c TLSListener) ([]string, error) {
	var files []string
	if c.CAFile != "" {
		files = append(files, c.CAFile)
	}
	if c.CAPath == "" {
		return files, nil
	}
	entries, err := os.ReadDir(c.CAPath)
	if err != nil {
		return nil, fmt.Errorf("Error loading from %s: %w", c.CAPath, err)
	}
	for _, entry := range entries {
		if ext := strings.ToLower(filepath.Ext(entry.Name())); ext == ".pem" || ext == ".crt" || ext == ".cer" {
			files = append(files, filepath.Join(c.CAPath, entry.Name()))
		}
	}
	return files, nil
}

// loadRoots reads the CAs that a listener trusts.
func loadRoots(c TLSListener) (*x509.CertPool, error) {
	files, err := caFiles(c)
	if err != nil {
		return nil, err
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

// rpcTLS reads the files of tls.internal_rpc.
func rpcTLS(c Config) (peer.TLSConfig, error) {
	rpc := c.TLS.InternalRPC
	cfg := peer.TLSConfig{
		VerifyIncoming: rpc.VerifyIncoming, VerifyOutgoing: rpc.VerifyOutgoing, VerifyServerHostname: rpc.VerifyServerHostname,
		Datacenter: c.Datacenter, Domain: c.Domain, MinVersion: rpc.MinVersion, CipherSuites: rpc.CipherSuites,
	}
	files, err := caFiles(rpc)
	if err != nil {
		return cfg, err
	}
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return cfg, fmt.Errorf("Error loading from %s: %w", file, err)
		}
		cfg.CAs = append(cfg.CAs, pem)
	}
	if rpc.CertFile == "" && rpc.KeyFile == "" {
		return cfg, nil
	}
	if cfg.Cert, err = os.ReadFile(rpc.CertFile); err != nil {
		return cfg, fmt.Errorf("cert_file: %w", err)
	}
	key, err := os.ReadFile(rpc.KeyFile)
	cfg.Key = logging.Secret(key)
	if err != nil {
		return cfg, fmt.Errorf("key_file: %w", err)
	}
	return cfg, nil
}
