package endpoint

import (
	"fmt"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// manyTokens makes tokens with a service identity of their own and three policies.
func manyTokens(w *world, n int) []logging.Secret {
	var links []acl.Link
	for i := range 3 {
		p := w.policy(tenancy.Default, fmt.Sprintf("p%d", i), fmt.Sprintf(`key_prefix "k%d/" { policy = "write" }
service_prefix "s%d" { policy = "read" }
node_prefix "" { policy = "read" }`, i, i))
		links = append(links, acl.Link{ID: p.ID})
	}
	secrets := make([]logging.Secret, n)
	for i := range secrets {
		secrets[i] = w.token(tenancy.Default, acl.Token{
			Policies: links, ServiceIdentities: []acl.ServiceIdentity{{ServiceName: fmt.Sprintf("service-%d", i)}},
		}).SecretID
	}
	return secrets
}

func BenchmarkResolveWarm(b *testing.B) {
	w := newWorld(b)
	secrets := manyTokens(w, 1000)
	for _, s := range secrets {
		w.resolve(s)
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			w.resolve(secrets[i%len(secrets)])
		}
	})
}

func BenchmarkResolveCold(b *testing.B) {
	w := newWorld(b)
	secrets := manyTokens(w, 10000)
	r := w.Resolver
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%len(secrets) == 0 { // the parsed policies stay known, as they do on a server
			r.tokens = newGenerations[logging.Secret, resolved](cachedTokens)
			r.authorizers = newGenerations[contentKey, *acl.Authorizer](cachedAuthorizers)
		}
		w.resolve(secrets[i%len(secrets)])
	}
}

func BenchmarkSelfRead(b *testing.B) {
	w := newWorld(b)
	secrets := manyTokens(w, 10000)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, _, err := w.tokens.Self(ctx, secrets[i%len(secrets)], Read{}); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkLogin(b *testing.B) {
	w := newWorld(b)
	must(w.methods.Set(ctx, w.root, "", authmethod.Method{Name: "m", Type: "aws-iam", Scope: tenancy.Default}))(b)
	must(w.rules.Create(ctx, w.root, authmethod.BindingRule{
		AuthMethod: "m", BindType: "service", BindName: "${entity_tags.service}", Selector: `entity_name != "nobody"`, Scope: tenancy.Default,
	}))(b)
	req := LoginRequest{Scope: tenancy.Default, AuthMethod: "m", BearerToken: "entity_name=task entity_tags.service=web"}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := w.logins.Login(ctx, req); err != nil {
			b.Fatal(err)
		}
	}
}
