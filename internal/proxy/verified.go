package proxy

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"time"

	"github.com/lictor/lictor/internal/ca"
)

// maxVerified is how many chains are remembered.
const maxVerified = 1024

// verified remembers the chains that were verified with some roots, so that who connects again costs no second
// verification. Only what the CA has signed gets in. The zero value is ready.
type verified struct {
	mu    sync.Mutex // guards known
	known map[chainKey]proof
}

// chainKey is the hash of a chain and of what it was verified for.
type chainKey [sha256.Size]byte

// proof is what a chain proves, and when it is valid.
type proof struct {
	id          ca.ServiceID
	from, until time.Time
}

func keyOf(chain []*x509.Certificate, use x509.ExtKeyUsage) (key chainKey) {
	h := sha256.New()
	number := func(n int) { _ = binary.Write(h, binary.BigEndian, uint64(n)) }
	number(int(use))
	for _, cert := range chain {
		number(len(cert.Raw))
		h.Write(cert.Raw)
	}
	h.Sum(key[:0])
	return key
}

// at returns what a chain proves at a time, if that is known.
func (v *verified) at(key chainKey, now time.Time) (ca.ServiceID, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	p, ok := v.known[key]
	return p.id, ok && !now.Before(p.from) && !now.After(p.until)
}

// remember takes over what a chain proves, as long as each certificate on its way to a root is valid.
func (v *verified) remember(key chainKey, id ca.ServiceID, way []*x509.Certificate) {
	p := proof{id: id, from: way[0].NotBefore, until: way[0].NotAfter}
	for _, cert := range way[1:] {
		if cert.NotBefore.After(p.from) {
			p.from = cert.NotBefore
		}
		if cert.NotAfter.Before(p.until) {
			p.until = cert.NotAfter
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known == nil || len(v.known) >= maxVerified {
		v.known = map[chainKey]proof{}
	}
	v.known[key] = p
}
