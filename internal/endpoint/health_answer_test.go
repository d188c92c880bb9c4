package endpoint

import (
	"errors"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/tenancy"
)

func (w *catalogWorld) health(who acl.Caller, f Find) *HealthAnswer {
	w.t.Helper()
	f.Scope = tenancy.Default
	answer, _, err := w.catalog.ServiceHealth(ctx, who, f)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

func TestAnAnswerIsSharedByAllWhoAreToldTheSame(t *testing.T) {
	w := town(t)
	p := w.policy(tenancy.Default, "reader", `node_prefix "" { policy = "read" } service "web" { policy = "read" }`)
	reader := func() acl.Caller {
		return w.resolve(w.token(tenancy.Default, acl.Token{Policies: []acl.Link{{ID: p.ID}}}).SecretID)
	}
	one, other := reader(), reader()
	all := w.health(one, Find{Name: "web"})
	if len(all.Rows) != 2 || w.health(one, Find{Name: "web"}) != all || w.health(other, Find{Name: "web"}) != all {
		t.Error("callers with the same rights are not given the same answer")
	}
	for name, f := range map[string]Find{
		"another name in capitals": {Name: "WEB"}, "a tag": {Name: "web", Tags: []string{"v1"}}, "node meta": {Name: "web", NodeMeta: []string{"rack:1"}},
		"passing": {Name: "web", Passing: true}, "connect": {Name: "web", Connect: true}, "a filter": {Name: "web", Filter: "Service.Port == 80"},
		"nearest first": {Name: "web", Near: "b"},
	} {
		if w.health(one, f) == all {
			t.Errorf("%s: the answer is that to another question", name)
		}
	}
	if answer := w.health(w.caller(tenancy.Default, `service "web" { policy = "read" }`), Find{Name: "web"}); answer == all || len(answer.Rows) != 0 {
		t.Error("a caller with other rights is given the answer of others")
	}
	w.register(Registration{Node: catalog.Node{Node: "z", Address: "10.0.0.9"}, Service: &catalog.Service{Service: "other"}})
	if w.health(one, Find{Name: "web"}) != all {
		t.Error("a change of another service made another answer")
	}
	w.register(Registration{Node: catalog.Node{Node: "a", Address: "10.0.0.77"}, SkipNodeUpdate: false})
	if changed := w.health(one, Find{Name: "web"}); changed == all || changed.Rows[0].Node.Address != "10.0.0.77" {
		t.Error("a change of a node is not seen")
	}
}

func TestWhatIsHiddenIsSaidToAllWhoShareAnAnswer(t *testing.T) {
	w := town(t)
	who := w.caller(tenancy.Default, `node "a" { policy = "read" } service "web" { policy = "read" }`)
	var kept []*HealthAnswer
	for range 2 {
		answer, meta, err := w.catalog.ServiceHealth(ctx, who, Find{Scope: tenancy.Default, Name: "web"})
		if err != nil || len(answer.Rows) != 1 || !meta.FilteredByACLs {
			t.Errorf("%+v %+v %v", answer.Rows, meta, err)
		}
		kept = append(kept, answer)
	}
	if kept[0] != kept[1] {
		t.Error("the second answer is another one")
	}
}

func TestAMemoIsMadeOnce(t *testing.T) {
	var m Memo
	made := 0
	for range 2 {
		text, err := m.Do(func() ([]byte, error) { made++; return []byte("text"), nil })
		if string(text) != "text" || err != nil || made != 1 {
			t.Errorf("%q, %v, made %d times", text, err, made)
		}
	}
	var broken Memo
	func() {
		defer func() { _ = recover() }()
		_, _ = broken.Do(func() ([]byte, error) { panic("on the way") })
	}()
	if _, err := broken.Do(nil); !errors.Is(err, errUnfinished) {
		t.Errorf("after a panic: %v", err)
	}
	if a, b := joinKey([]string{"a", "b"}), joinKey([]string{"ab"}); a == b || !strings.HasPrefix(a, "a") {
		t.Errorf("%q and %q", a, b)
	}
}
