package fsm

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

func webDefaults(protocol string) configentry.Entry {
	return entry(tenancy.Default, `{"Kind":"service-defaults","Name":"web","Protocol":"`+protocol+`"}`)
}

func TestConfigEntriesThatAreCompared(t *testing.T) {
	m := newMachine()
	apply := func(c Command) error { return m.apply(t, c)[0] }
	set := func(protocol string, index uint64) error {
		return apply(ConfigEntrySet{Entry: webDefaults(protocol), Compare: true, IfIndex: index})
	}
	remove := func(index uint64) error {
		return apply(ConfigEntryDelete{Kind: configentry.KindServiceDefaults, Scope: tenancy.Default, Name: "web", Compare: true, IfIndex: index})
	}
	made := m.index + 2
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"changed before it is there", set("http", 5), ErrChanged},
		{"created", set("http", 0), nil},
		{"created again", set("grpc", 0), ErrChanged},
		{"the same content with another index", set("http", 1), nil},
		{"changed with another index", set("grpc", made+1), ErrChanged},
		{"changed", set("grpc", made), nil},
		{"deleted with an old index", remove(made), ErrChanged},
		{"deleted", remove(made + 4), nil},
		{"deleted again", remove(made + 4), ErrChanged},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.want)
		}
	}
}

func TestWhatConfigEntriesAreCheckedFor(t *testing.T) {
	permissive := `"MutualTLSMode":"permissive"`
	for _, c := range []struct {
		name    string
		command Command
		text    string
	}{
		{"a namespace that does not exist", ConfigEntrySet{Entry: entry(tenancy.Scope{Partition: "default", Namespace: "nope"}, `{"Kind":"service-defaults","Name":"web"}`)}, `Namespace "nope" does not exist`},
		{"a partition that does not exist", IntentionSet{Destination: configentry.Service{Name: "*", Scope: tenancy.Scope{Partition: "nope", Namespace: "*"}},
			Source: caller("a", configentry.Allow)}, `Partition "nope" does not exist`},
		{"plain connections to a service", ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"service-defaults","Name":"web",`+permissive+`}`)}, "AllowEnablingPermissiveMutualTLS"},
		{"plain connections to all", ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"proxy-defaults","Name":"global",`+permissive+`}`)}, "AllowEnablingPermissiveMutualTLS"},
		{"an intention twice", IntentionSet{Destination: meshService("db"), Source: caller("Web", configentry.Allow), Create: true}, `Sources[2] defines "Web" more than once`},
		{"an intention of nothing", IntentionSet{Destination: meshService("db"), Source: caller("new", "")}, "Action must be set to 'allow' or 'deny'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := play(t, entryHistory()[:2])
			before := m.dump(t)
			err := m.apply(t, c.command)[0]
			if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), c.text) || m.dump(t) != before {
				t.Errorf("got %v", err)
			}
		})
	}
	m := newMachine()
	errs := m.apply(t, IntentionSet{Destination: meshService("db"), Source: caller("a", configentry.Allow), IfID: intentionID})
	if !errors.Is(errs[0], ErrChanged) {
		t.Error(errs)
	}
}

// Attack CVE-2020-25201: the same write again is no change.
func TestCVE_2020_25201_AnIntentionTwiceIsOneChange(t *testing.T) {
	m := play(t, entryHistory()[:2])
	again := caller("old", configentry.Allow)
	before := m.dump(t)
	for _, c := range []Command{
		IntentionSet{Destination: meshService("db"), Source: again, Now: sampleTime.Add(time.Hour)},
		IntentionSet{Destination: meshService("DB"), Source: caller("web", configentry.Deny), Now: sampleTime.Add(time.Hour)},
		IntentionDelete{Destination: meshService("db"), Source: meshService("nobody")},
		IntentionDelete{Destination: meshService("nowhere"), Source: meshService("web")},
		ConfigEntryDelete{Kind: configentry.KindMesh, Scope: tenancy.Default, Name: "mesh"},
	} {
		if err := m.apply(t, c)[0]; err != nil || m.dump(t) != before {
			t.Errorf("%T: %v", c, err)
		}
	}
}

func TestIDsOfIntentions(t *testing.T) {
	m := play(t, entryHistory()[:2])
	old := func() *configentry.Source {
		e, _, err := m.store.Read().ConfigEntry(nil, configentry.KindServiceIntentions, tenancy.Default, "db")
		if err != nil || e == nil {
			t.Fatal(e, err)
		}
		return e.Source(meshService("old"))
	}
	if s := old(); s.LegacyID != intentionID || !s.LegacyCreated.Equal(sampleTime) || !s.LegacyUpdated.Equal(sampleTime) {
		t.Errorf("created: %+v", s)
	}
	rewrite := func(id string) {
		m.apply(t, ConfigEntrySet{Entry: entry(tenancy.Default, `{"Kind":"service-intentions","Name":"db","Sources":[{"Name":"old","Action":"deny"},
			{"Name":"other","Action":"allow","LegacyID":"`+id+`"}]}`)})
	}
	rewrite(intentionID)
	if s := old(); s.LegacyID != intentionID || s.Action != configentry.Deny {
		t.Errorf("rewritten as an entry: %+v", s)
	}
	e, s, err := m.store.Read().IntentionByID(nil, intentionID)
	if err != nil || s == nil || s.Name != "old" || e.Name != "db" || e.Source(meshService("other")).LegacyID != "" {
		t.Errorf("%+v, %+v, %v", e, s, err)
	}
	m.apply(t, IntentionDelete{Destination: meshService("db"), Source: meshService("old"), IfID: "another"})
	if old() == nil {
		t.Error("an intention with another ID was deleted")
	}
	m.apply(t, IntentionDelete{Destination: meshService("db"), Source: meshService("old"), IfID: intentionID},
		IntentionDelete{Destination: meshService("db"), Source: meshService("other")})
	if e, index, err := m.store.Read().ConfigEntry(nil, configentry.KindServiceIntentions, tenancy.Default, "db"); e != nil || index != m.index || err != nil {
		t.Errorf("the last source leaves %+v at %d, %v", e, index, err)
	}
}
