package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	known := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
	for _, suite := range l.CipherSuites {
		if !slices.ContainsFunc(known, func(s *tls.CipherSuite) bool { return s.Name == suite }) {
			return fmt.Errorf("tls.%s.tls_cipher_suites: unsupported cipher %q", name, suite)
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

// loadCAs reads the certificates of ca_file and of the .pem, .crt and .cer files of ca_path.
func loadCAs(l daemon.TLSListener) error {
	var files []string
	if l.CAFile != "" {
		files = append(files, l.CAFile)
	}
	if l.CAPath != "" {
		entries, err := os.ReadDir(l.CAPath)
		if err != nil {
			return fmt.Errorf("Error loading from %s: %w", l.CAPath, err)
		}
		for _, e := range entries {
			switch strings.ToLower(filepath.Ext(e.Name())) {
			case ".pem", ".crt", ".cer":
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
			return fmt.Errorf("Error loading from %s: no certificate found", file)
		}
	}
	return nil
}
