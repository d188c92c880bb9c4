package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/lictor/lictor/internal/daemon"
)

// checkTLS reads every file that the tls stanza names, so that a wrong path stops the start
// and not the first connection.
func checkTLS(c *daemon.Config) error {
	for _, section := range []struct {
		name string
		l    daemon.TLSListener
	}{{"internal_rpc", c.TLS.InternalRPC}, {"https", c.TLS.HTTPS}, {"grpc", c.TLS.GRPC}} {
		if err := checkListener(section.name, section.l, c.AutoEncrypt.TLS); err != nil {
			return err
		}
	}
	return nil
}

// checkListener checks one section. Where auto_encrypt will bring the certificate, none
// needs to be there yet.
func checkListener(name string, l daemon.TLSListener, auto bool) error {
	switch l.MinVersion {
	case "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3":
	default:
		return fmt.Errorf("tls.%s.tls_min_version: invalid value %q; must be TLSv1_0, TLSv1_1, TLSv1_2 or TLSv1_3", name, l.MinVersion)
	}
	for _, suite := range l.CipherSuites {
		if !slices.ContainsFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == suite }) {
			return fmt.Errorf("tls.%s.tls_cipher_suites: unknown or insecure cipher suite %q", name, suite)
		}
	}
	if err := loadCAs(l); err != nil {
		return err
	}
	if (l.CertFile == "") != (l.KeyFile == "") {
		return fmt.Errorf("tls.%s: cert_file and key_file must both be given, or neither", name)
	}
	if l.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(l.CertFile, l.KeyFile); err != nil {
			return fmt.Errorf("Failed to load cert/key pair: %w", err)
		}
	}
	noCA := l.CAFile == "" && l.CAPath == ""
	switch {
	case l.VerifyOutgoing && noCA:
		return errors.New("VerifyOutgoing set but no CA certificates were provided")
	case l.VerifyIncoming && noCA:
		return errors.New("VerifyIncoming set but no CA certificates were provided")
	case l.VerifyIncoming && l.CertFile == "" && !auto:
		return errors.New("VerifyIncoming set but no Cert/Key pair was provided")
	}
	return nil
}

// loadCAs reads the certificates of ca_file, or of each file in ca_path.
func loadCAs(l daemon.TLSListener) error {
	files := []string{l.CAFile}
	if l.CAFile == "" {
		if l.CAPath == "" {
			return nil
		}
		entries, err := os.ReadDir(l.CAPath)
		if err != nil {
			return fmt.Errorf("Error loading from %s: %w", l.CAPath, err)
		}
		files = files[:0]
		for _, e := range entries {
			if !e.IsDir() {
				files = append(files, filepath.Join(l.CAPath, e.Name()))
			}
		}
	}
	for _, file := range files {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("Error loading from %s: %w", file, err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return fmt.Errorf("Error loading from %s: it holds no PEM certificate", file)
		}
	}
	return nil
}
