package state

import (
	"crypto/rand"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/logging"
)

func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// loginToken is a token as a login makes it: a service identity, an end, a method.
func loginToken(i int) acl.Token {
	end := time.Unix(1_800_000_000+int64(i%3600), 0)
	return acl.Token{
		AccessorID: uuid(), SecretID: logging.Secret(uuid()), Scope: home, Local: true,
		Description:       fmt.Sprintf("token created via login: {\"task\":\"%d\"}", i),
		ServiceIdentities: []acl.ServiceIdentity{{ServiceName: fmt.Sprint("service-", i%1000)}},
		AuthMethod:        string([]byte("ecs")), AuthMethodNamespace: "default",
		ExpirationTime: &end, CreateTime: time.Unix(1_790_000_000, 0), Hash: make([]byte, 32),
	}
}

// policyToken has a service identity and three policies and never ends.
func policyToken(i int) acl.Token {
	t := loginToken(i)
	t.ExpirationTime, t.AuthMethod = nil, ""
	for j := range 3 {
		t.Policies = append(t.Policies, acl.Link{ID: fmt.Sprintf("00000000-0000-0000-0000-%012d", (i+j)%100)})
	}
	return t
}

// BenchmarkMemory reports the bytes that a stored token takes, with all of its indexes.
func BenchmarkMemory(b *testing.B) {
	for name, token := range map[string]func(int) acl.Token{"login": loginToken, "policies": policyToken} {
		b.Run(name, func(b *testing.B) {
			const count = 1_000_000
			for b.Loop() {
				before := heap()
				s := newStore(b)
				write(b, s, 9, func(tx *Tx) error {
					for j := range 100 {
						id := fmt.Sprintf("00000000-0000-0000-0000-%012d", j)
						must(0, tx.PutPolicy(acl.Policy{ID: id, Name: id, Scope: home}))
					}
					return tx.PutAuthMethod(authmethod.Method{Name: "ecs", Scope: home})
				})
				for i := 0; i < count; i += 100 {
					write(b, s, uint64(10+i), func(tx *Tx) error {
						for j := range 100 {
							must(0, tx.PutToken(token(i+j)))
						}
						return nil
					})
				}
				b.ReportMetric(float64(heap()-before)/count, "B/token")
				b.ReportMetric(b.Elapsed().Seconds()/count*1e9, "ns/token")
				runtime.KeepAlive(s)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkTokenBySecret(b *testing.B) {
	s := newStore(b)
	var secrets []logging.Secret
	for i := 0; i < 50_000; i += 100 {
		write(b, s, uint64(10+i), func(tx *Tx) error {
			for j := range 100 {
				t := loginToken(i + j)
				secrets = append(secrets, t.SecretID)
				must(0, tx.PutToken(t))
			}
			return nil
		})
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		tx := s.Read()
		if t, err := tx.TokenBySecret(nil, secrets[i%len(secrets)]); t == nil || err != nil {
			b.Fatal("not found")
		}
		tx.LastIndex(TableTokens, TablePolicies, TableRoles, TableNamespaces)
		i++
	}
}
