package operator

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

const maxCertificates = 1 << 20

// checkCertificates looks at files, and at what the servers show.
func (d *doctor) checkCertificates(ctx context.Context, f *findings) {
	authorities := []string{d.bootstrapFile("consul-ca-cert.pem"), d.bootstrapFile("consul-https-ca-cert.pem")}
	if d.servers != nil {
		authorities = append(authorities, d.servers.tls.CAFile)
	}
	slices.Sort(authorities)
	for _, file := range slices.Compact(authorities) {
		d.checkFile(f, file, true)
	}
	for _, file := range d.certificates {
		d.checkFile(f, file, false)
	}
	if d.servers != nil && d.servers.url.Scheme == "https" {
		d.checkShown(ctx, f)
	}
	if len(f.list) == 0 {
		f.skip("no certificates to look at")
	}
}

func (d *doctor) checkFile(f *findings, file string, authority bool) {
	if file == "" {
		return
	}
	text, err := readBounded(file, maxCertificates)
	if err != nil {
		f.fail("look at the file", "%v", err)
		return
	}
	found := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		found = true
		c, err := x509.ParseCertificate(block.Bytes)
		switch {
		case err != nil:
			f.fail("write the certificate anew", "%s: %v", file, err)
		case authority && !c.IsCA:
			f.fail("use the certificate of the CA that has signed it", "%s: %s is not the certificate of a CA", file, nameOf(c))
		default:
			d.checkValidity(f, file, c)
		}
	}
	if !found {
		f.fail("look at the secret that the file is from: it has to be PEM text", "%s: holds no certificate", file)
	}
}

func nameOf(c *x509.Certificate) string {
	return orNone(c.Subject.CommonName, "certificate "+c.SerialNumber.String())
}

func (d *doctor) checkValidity(f *findings, where string, c *x509.Certificate) {
	name, now := nameOf(c), d.now()
	left := c.NotAfter.Sub(now)
	switch {
	case now.Before(c.NotBefore):
		f.fail("look at the clock", "%s: %s is not valid before %s", where, name, c.NotBefore.UTC().Format(time.RFC3339))
	case left <= 0:
		f.fail("renew it", "%s: %s has expired at %s", where, name, c.NotAfter.UTC().Format(time.RFC3339))
	case left < d.expiresWithin:
		f.warn("renew it", "%s: %s expires at %s", where, name, c.NotAfter.UTC().Format(time.RFC3339))
	default:
		f.ok("%s: %s is valid for %d days", where, name, left/(24*time.Hour))
	}
}

// checkShown looks at the certificates that the servers present, whether or not they are trusted
// here: the check of the servers says that.
func (d *doctor) checkShown(ctx context.Context, f *findings) {
	host := d.servers.url.Host
	if d.servers.url.Port() == "" {
		host = net.JoinHostPort(d.servers.url.Hostname(), "443")
	}
	name := orNone(d.servers.tls.Address, d.servers.url.Hostname())
	dialer := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}} // nothing is sent
	conn, err := dialer.DialContext(ctx, "tcp", host)
	if err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "%s: %s", host, what)
		return
	}
	defer conn.Close()
	secured, ok := conn.(*tls.Conn)
	if !ok {
		return
	}
	for _, c := range secured.ConnectionState().PeerCertificates {
		d.checkValidity(f, host, c)
	}
}

// checkGossipKey decodes the key, and compares it with the cluster's if asked.
func (d *doctor) checkGossipKey(ctx context.Context, f *findings) {
	key := logging.Secret(d.env.Getenv("CONSUL_GOSSIP_ENCRYPTION_KEY"))
	if d.gossipKeyFile != "" {
		text, err := readBounded(d.gossipKeyFile, maxCertificates)
		if err != nil {
			f.fail("look at the file", "%v", err)
			return
		}
		key = logging.Secret(text)
	}
	key = logging.Secret(strings.TrimSpace(key.Reveal()))
	if key == "" {
		f.skip("no key here: give one with -gossip-key-file")
		return
	}
	raw, err := base64.StdEncoding.DecodeString(key.Reveal())
	if err != nil || !slices.Contains([]int{16, 24, 32}, len(raw)) {
		f.fail("make one with consul keygen, or look at the secret: it has to be the text that consul keygen prints", "the gossip key is not 16, 24 or 32 bytes in base64")
		return
	}
	f.ok("the gossip key is one of %d bits", 8*len(raw))
	if d.compareGossip && !d.serversDown(f) {
		d.compareKey(ctx, f, key)
	}
}

func (d *doctor) compareKey(ctx context.Context, f *findings, key logging.Secret) {
	rings, err := d.servers.client.Operator().KeyringList(reading(ctx))
	if denied(err) {
		f.skip("the token may not see the cluster's keys: keyring:read")
		return
	}
	if err != nil {
		what, remedy := explain(err)
		f.fail(remedy, "the cluster's keys: %s", what)
		return
	}
	has := func(keys map[string]int) bool {
		for k := range keys {
			if key.Equal(logging.Secret(k)) {
				return true
			}
		}
		return false
	}
	known, primary := false, false
	for _, ring := range rings {
		if ring.WAN {
			continue
		}
		known, primary = known || has(ring.Keys), primary || has(ring.PrimaryKeys)
	}
	switch {
	case primary:
		f.ok("it is the cluster's primary key")
	case known:
		f.warn("put the cluster's primary key into the secret", "the cluster knows the gossip key, and uses another")
	default:
		f.fail("put the cluster's primary key into the secret: consul keyring -list-primary", "the cluster does not know the gossip key")
	}
}
