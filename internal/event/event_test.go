package event

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/errs"
)

// newLog returns the log of an agent "n1" with a service web, tagged v1, whose events reach itself alone.
func newLog(t testing.TB) *Log {
	t.Helper()
	l := &Log{Node: "n1", Services: func(has func(string, []string) bool) bool { return has("web", []string{"v1"}) }}
	at := uint64(0)
	l.Send = func(text []byte) error { at++; return l.Hear(text, at) }
	return l
}

// fire fires e and returns its ID.
func fire(t testing.TB, l *Log, e Event) string {
	t.Helper()
	e, err := New(e)
	if err == nil {
		err = l.Fire(e)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e.ID
}

func TestAnEventReachesTheAgentsThatItsFiltersSelect(t *testing.T) {
	for _, c := range []struct {
		name  string
		event Event
		heard bool
	}{
		{"no filter", Event{Payload: []byte("v2")}, true},
		{"the node", Event{NodeFilter: "^n[0-9]$"}, true},
		{"another node", Event{NodeFilter: "^m"}, false},
		{"a service", Event{ServiceFilter: "web"}, true},
		{"a service of another agent", Event{ServiceFilter: "db"}, false},
		{"a tag", Event{ServiceFilter: "web", TagFilter: "v[12]"}, true},
		{"another tag", Event{ServiceFilter: "web", TagFilter: "v3"}, false},
		{"the node, but not the service", Event{NodeFilter: "n1", ServiceFilter: "db"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLog(t)
			c.event.Name = "deploy"
			id := fire(t, l, c.event)
			list, _ := l.List()
			if !c.heard {
				if len(list) != 0 {
					t.Errorf("heard %+v", list)
				}
				return
			}
			if len(list) != 1 || list[0].ID != id || string(list[0].Payload) != string(c.event.Payload) || list[0].LTime != 1 || list[0].Version != 1 {
				t.Errorf("heard %+v", list)
			}
		})
	}
}

func TestWhatIsNoEventIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		event Event
		text  string
	}{
		{"no name", Event{}, "Missing name"},
		{"a payload that is too large", Event{Name: "e", Payload: make([]byte, MaxPayload+1)}, "user event payload exceeds limit of 512 bytes"},
		{"a name that is too large", Event{Name: strings.Repeat("n", MaxSize)}, "user event exceeds limit of 1024 bytes"},
		{"filters that are too large", Event{Name: "e", NodeFilter: strings.Repeat("n", MaxSize+1)}, "user event exceeds limit of 1024 bytes"},
		{"a filter that is none", Event{Name: "e", NodeFilter: "["}, "Invalid node filter: error parsing regexp: missing closing ]: `[`"},
		{"a service filter that is none", Event{Name: "e", ServiceFilter: "("}, "Invalid service filter: error parsing regexp: missing closing ): `(`"},
		{"a tag without a service", Event{Name: "e", TagFilter: "v1"}, "Cannot filter by tag without filtering by service"},
	} {
		if _, err := New(c.event); errs.KindOf(err) != errs.Invalid || err.Error() != c.text {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := New(Event{Name: "e", Payload: make([]byte, MaxPayload)}); err != nil {
		t.Errorf("a payload of the greatest size: %v", err)
	}
}

func TestAnAgentRemembersTheLastEvents(t *testing.T) {
	l := newLog(t)
	none, changed := l.List()
	for i := range kept + 10 {
		fire(t, l, Event{Name: fmt.Sprintf("e%d", i)})
	}
	select {
	case <-changed:
	default:
		t.Error("whoever waits is not told")
	}
	list, changed := l.List()
	if len(none) != 0 || len(list) != kept || list[0].Name != "e10" || list[kept-1].Name != "e265" {
		t.Fatalf("%d, then %d events from %s", len(none), len(list), list[0].Name)
	}
	text, err := list[kept-1].encode()
	if err != nil || l.Hear(text, 1) != nil {
		t.Fatal(err)
	}
	select {
	case <-changed:
		t.Error("an event that is heard again is a change")
	default:
	}
}

func TestFilters(t *testing.T) {
	e := Event{Name: "deploy", NodeFilter: "^n1$", ServiceFilter: "web"}
	for _, c := range []struct {
		f    Filter
		want bool
	}{
		{Filter{}, true},
		{Filter{Name: "deploy"}, true},
		{Filter{Name: "dep"}, false},
		{Filter{Node: "^n1$"}, true},
		{Filter{Node: "n1"}, true},
		{Filter{Node: "n2"}, false},
		{Filter{Service: "w.b", Node: "n"}, true},
		{Filter{Tag: "v1"}, false},
		{Filter{Node: "["}, false},
	} {
		if got := c.f.Match(&e); got != c.want {
			t.Errorf("%+v: %v", c.f, got)
		}
	}
}

func TestTheIndexIsTheOneOfClients(t *testing.T) {
	var client api.Event
	for range 100 {
		e, err := New(Event{Name: "e"})
		if err != nil {
			t.Fatal(err)
		}
		if want := client.IDToIndex(e.ID); e.Index() != want {
			t.Errorf("%s: %d, want %d", e.ID, e.Index(), want)
		}
	}
}

func FuzzHear(f *testing.F) {
	good, err := New(Event{Name: "e", Payload: []byte("p"), NodeFilter: "n", ServiceFilter: "s", TagFilter: "t"})
	if err != nil {
		f.Fatal(err)
	}
	text, _ := good.encode()
	f.Add(text)
	for _, seed := range []string{``, `{}`, `null`, `[]`, `{"ID":"x"}`, `{"ID":"aaaaaaaa-0000-4000-8000-000000000000","Name":"e","Version":1,"NodeFilter":"(((("}`,
		`{"ID":"aaaaaaaa-0000-4000-8000-000000000000","Name":"e","Version":1,"NodeFilter":"(x{1000}){1000}"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l := newLog(t)
		err := l.Hear(text, 7)
		list, _ := l.List()
		if err != nil {
			if errs.KindOf(err) != errs.Invalid || len(list) != 0 {
				t.Fatalf("%v, and %d events", err, len(list))
			}
			return
		}
		for _, e := range list {
			_ = e.Index()
			if e.Name == "" || e.LTime != 7 || len(e.Payload) > MaxPayload {
				t.Fatalf("heard %+v", e)
			}
		}
	})
}
