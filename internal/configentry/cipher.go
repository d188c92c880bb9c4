package configentry

// cipherSuites are the suites of TLS 1.2 that a mesh entry may name: what OpenSSL, and so Envoy, calls each of them, by
// its name at IANA (RFC 4492, 5246, 5288, 5289 and 7905).
var cipherSuites = map[string]string{
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256":       "ECDHE-ECDSA-AES128-GCM-SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384":       "ECDHE-ECDSA-AES256-GCM-SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
	"TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA":          "ECDHE-ECDSA-AES128-SHA",
	"TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA":          "ECDHE-ECDSA-AES256-SHA",
	"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256":         "ECDHE-RSA-AES128-GCM-SHA256",
	"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384":         "ECDHE-RSA-AES256-GCM-SHA384",
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256":   "ECDHE-RSA-CHACHA20-POLY1305",
	"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA":            "ECDHE-RSA-AES128-SHA",
	"TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA":            "ECDHE-RSA-AES256-SHA",
	"TLS_RSA_WITH_AES_128_GCM_SHA256":               "AES128-GCM-SHA256",
	"TLS_RSA_WITH_AES_256_GCM_SHA384":               "AES256-GCM-SHA384",
	"TLS_RSA_WITH_AES_128_CBC_SHA":                  "AES128-SHA",
	"TLS_RSA_WITH_AES_256_CBC_SHA":                  "AES256-SHA",
}

// CipherSuite returns both names of a suite that a mesh entry may name, by either of them.
func CipherSuite(name string) (iana, openSSL string, known bool) {
	if other, ok := cipherSuites[name]; ok {
		return name, other, true
	}
	for iana, openSSL := range cipherSuites {
		if openSSL == name {
			return iana, name, true
		}
	}
	return "", "", false
}

// checkSuites complains about suites that a proxy would refuse together with all of its configuration, and
// about those that never count.
func (d *DirectionalTLS) checkSuites(at string, wrong *problems) {
	for i, name := range d.CipherSuites {
		if _, _, known := CipherSuite(name); !known {
			wrong.add("invalid %s.CipherSuites[%d]: unsupported cipher suite %q", at, i, name)
		}
	}
	if len(d.CipherSuites) > 0 && d.TLSMinVersion == "TLSv1_3" {
		wrong.add("%s: CipherSuites count for TLS 1.2 and earlier, and TLSMinVersion is TLSv1_3", at)
	}
}
