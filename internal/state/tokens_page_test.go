package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// pagedStore has 120 tokens in three scopes, each with links of some kinds.
func pagedStore(t *testing.T) *Store {
	s := newStore(t)
	write(t, s, 9, func(tx *Tx) error {
		for i := range 120 {
			at := scopes[i%3]
			tok := acl.Token{AccessorID: fmt.Sprintf("a%03d", (i*7)%120), SecretID: logging.Secret(fmt.Sprintf("s%03d", (i*11)%120)), Scope: at}
			if i%2 == 0 {
				tok.Policies = []acl.Link{{ID: "p"}}
				tok.ServiceIdentities = []acl.ServiceIdentity{{ServiceName: "web"}, {ServiceName: "api"}}
			}
			if i%5 == 0 {
				tok.Roles = []acl.Link{{ID: "r"}}
			}
			if i%4 == 0 {
				tok.AuthMethod, tok.AuthMethodNamespace = "ecs", "default"
			}
			must(0, tx.PutToken(tok))
		}
		return tx.PutAuthMethod(authmethod.Method{Name: "ecs", Scope: home})
	})
	return s
}

func TestPagesOfTokensMakeUpTheirList(t *testing.T) {
	tx := pagedStore(t).Read()
	everything := func(*acl.Token) bool { return true }
	for name, f := range map[string]TokenFilter{
		"all": {}, "a policy's": {PolicyID: "p"}, "a role's": {RoleID: "r"}, "a service's": {ServiceName: "web"},
		"a method's": {AuthMethod: "ECS"}, "a method's of a namespace": {AuthMethod: "ecs", AuthMethodNamespace: "default"}, "nothing's": {PolicyID: "none"},
	} {
		for _, s := range append([]tenancy.Scope{wildcard}, scopes...) {
			for _, size := range []int{1, 7, 1000} {
				for keeping, keep := range map[string]func(*acl.Token) bool{
					"all": everything, "none": func(*acl.Token) bool { return false }, "some": func(t *acl.Token) bool { return t.AccessorID < "a060" },
				} {
					var got []string
					after, pages := "", 0
					for pages == 0 || after != "" {
						rows, next, err := tx.TokensAfter(nil, s, f, after, size, keep)
						if err != nil || pages > 0 && len(rows) == 0 || next != "" && len(rows) != size {
							t.Fatalf("%s in %s, page %d: %d rows, next %q, %v", name, s, pages, len(rows), next, err)
						}
						if next != "" && !strings.HasSuffix(next, rows[len(rows)-1].AccessorID) {
							t.Fatalf("place %q is not that of the last row", next)
						}
						for _, row := range rows {
							got = append(got, row.AccessorID)
						}
						after, pages = next, pages+1
					}
					var want []string
					for _, row := range must(tx.Tokens(nil, s, f)) {
						if keep(row) {
							want = append(want, row.AccessorID)
						}
					}
					slices.Sort(want)
					sorted := slices.Sorted(slices.Values(got))
					if !slices.Equal(sorted, want) || s != wildcard && f.AuthMethod == "" && !slices.Equal(got, sorted) {
						t.Fatalf("%s in %s, keeping %s in pages of %d: %v\nwant %v", name, s, keeping, size, got, want)
					}
				}
			}
		}
	}
}

func TestAPageOfTokensFiresForWhatChanged(t *testing.T) {
	s := pagedStore(t)
	ws := memdb.NewWatchSet()
	_, _, err := s.Read().TokensAfter(ws, home, TokenFilter{PolicyID: "p"}, "", 2, func(*acl.Token) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, 10, func(tx *Tx) error { return tx.DeleteToken(home, "a000") })
	for ch := range ws {
		select {
		case <-ch:
			return
		default:
		}
	}
	t.Error("nobody is woken")
}
