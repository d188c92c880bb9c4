package peer

import (
	"crypto/tls"
	"slices"

	"github.com/lictor/lictor/internal/errs"
)

var versions = map[string]uint16{
	"":        tls.VersionTLS12,
	"TLSv1_0": tls.VersionTLS10, "TLSv1_1": tls.VersionTLS11, "TLSv1_2": tls.VersionTLS12, "TLSv1_3": tls.VersionTLS13,
}

// MinVersion returns the version that tls_min_version names; empty is TLS 1.2.
func MinVersion(name string) (uint16, error) {
	version, known := versions[name]
	if !known {
		return 0, errs.Errorf(errs.Invalid, "tls_min_version: unknown version %q, want TLSv1_0 to TLSv1_3", name)
	}
	return version, nil
}

// CipherSuites returns the suites that tls_cipher_suites names, nil for none.
func CipherSuites(names []string) ([]uint16, error) {
	suites := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
	var ids []uint16
	for _, name := range names {
		i := slices.IndexFunc(suites, func(s *tls.CipherSuite) bool { return s.Name == name })
		if i < 0 {
			return nil, errs.Errorf(errs.Invalid, "tls_cipher_suites: unsupported cipher %q", name)
		}
		ids = append(ids, suites[i].ID)
	}
	return ids, nil
}
