package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-memdb"
	"pgregory.net/rapid"

	"github.com/lictor/lictor/internal/tenancy"
)

type pet struct {
	tenancy.Scope
	id    string
	chip  string   // unique everywhere; may be empty
	name  string   // unique in the scope
	foods []string // not unique
}

func petAt(p *pet) (tenancy.Scope, string) { return p.Scope, p.id }

var (
	byChip = Unique("chip", func(p *pet, add func(tenancy.Scope, string)) {
		if p.chip != "" {
			add(Global, p.chip)
		}
	})
	byName = Unique("name", func(p *pet, add func(tenancy.Scope, string)) { add(p.Scope, p.name) })
	byFood = Many("food", func(p *pet, add func(tenancy.Scope, string)) {
		for _, f := range p.foods {
			add(p.Scope, f)
		}
	})
	// byRoot keeps rows of all namespaces of a partition under one scope.
	byRoot = Many("root", func(p *pet, add func(tenancy.Scope, string)) { add(p.PartitionRoot(), "all") })
	pets   = NewTable("pets", petAt, byChip, byName, byFood, byRoot)
)

var (
	home     = tenancy.Default
	otherNS  = tenancy.Scope{Partition: "default", Namespace: "team"}
	otherAP  = tenancy.Scope{Partition: "east", Namespace: "default"}
	scopes   = []tenancy.Scope{home, otherNS, otherAP}
	wildcard = tenancy.Scope{Partition: "default", Namespace: tenancy.Wildcard}
)

func open(t testing.TB) *memdb.MemDB {
	t.Helper()
	db, err := Open(pets)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// must returns v, and ends the program's test if err is set.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func put(t testing.TB, db *memdb.MemDB, rows ...*pet) {
	t.Helper()
	tx := db.Txn(true)
	for _, r := range rows {
		if err := pets.Put(tx, r); err != nil {
			t.Fatal(err)
		}
	}
	tx.Commit()
}

func TestTheSameKeyInAnotherScopeIsAnotherRow(t *testing.T) {
	db := open(t)
	for _, s := range scopes {
		put(t, db, &pet{Scope: s, id: "1", name: "rex"})
	}
	tx := db.Txn(true)
	if err := pets.Delete(tx, home, "1"); err != nil {
		t.Fatal(err)
	}
	for _, s := range scopes {
		row := must(pets.Get(tx, nil, s, "1"))
		named := must(pets.One(tx, nil, byName, s, "rex"))
		if (row == nil) != (s == home) || row != named || (row != nil && row.Scope != s) {
			t.Errorf("%s: got %v and %v", s, row, named)
		}
	}
}

func TestNamesCannotReachIntoAnotherScope(t *testing.T) {
	db := open(t)
	put(t, db, &pet{Scope: home, id: "1", name: "a", foods: []string{"x"}})
	tx := db.Txn(false)
	for _, key := range []string{"", "\x001", "default\x001", "\x07default\x011"} {
		if row := must(pets.Get(tx, nil, tenancy.Scope{Partition: "d", Namespace: "efault"}, key)); row != nil {
			t.Errorf("key %q reaches %v", key, row)
		}
		if rows := must(pets.By(tx, nil, byFood, home, "x"+key)); key != "" && len(rows) > 0 {
			t.Errorf("value %q finds %v", "x"+key, rows)
		}
	}
}

func TestAValueOfAUniqueIndexIsRefusedTwice(t *testing.T) {
	db := open(t)
	put(t, db, &pet{Scope: home, id: "1", name: "rex", chip: "c1"})
	tests := []struct {
		name  string
		row   pet
		taken bool
	}{
		{"the same name in the scope", pet{Scope: home, id: "2", name: "rex"}, true},
		{"the same name elsewhere", pet{Scope: otherNS, id: "2", name: "rex"}, false},
		{"the same global value elsewhere", pet{Scope: otherAP, id: "2", name: "x", chip: "c1"}, true},
		{"its own values again", pet{Scope: home, id: "1", name: "rex", chip: "c1"}, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tx := db.Txn(true)
			defer tx.Abort()
			err := pets.Put(tx, &tc.row)
			if errors.Is(err, ErrTaken) != tc.taken || (err != nil) != tc.taken {
				t.Fatalf("got %v", err)
			}
			if got := must(pets.Get(tx, nil, tc.row.Scope, tc.row.id)); tc.taken && got != nil {
				t.Errorf("a refused row was stored: %v", got)
			}
		})
	}
}

// fired tells whether a channel of ws is closed.
func fired(ws memdb.WatchSet) bool {
	for ch := range ws {
		select {
		case <-ch:
			return true
		default:
		}
	}
	return false
}

func TestWatchesFireForWhatChanged(t *testing.T) {
	watches := map[string]func(tx *memdb.Txn, ws memdb.WatchSet){
		"row":          func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.Get(tx, ws, home, "1")) },
		"other row":    func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.Get(tx, ws, home, "2")) },
		"name":         func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.One(tx, ws, byName, home, "rex")) },
		"missing name": func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.One(tx, ws, byName, home, "tom")) },
		"food":         func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.By(tx, ws, byFood, home, "fish")) },
		"other food":   func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.By(tx, ws, byFood, home, "meat")) },
		"scope":        func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.List(tx, ws, home)) },
		"other scope":  func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.List(tx, ws, otherNS)) },
		"wildcard":     func(tx *memdb.Txn, ws memdb.WatchSet) { must(pets.List(tx, ws, wildcard)) },
	}
	tests := []struct {
		name   string
		change func(tx *memdb.Txn) error
		fires  []string
	}{
		{"a changed row", func(tx *memdb.Txn) error {
			return pets.Put(tx, &pet{Scope: home, id: "1", name: "rex", foods: []string{"fish"}, chip: "new"})
		}, []string{"food", "name", "row", "scope", "wildcard"}},
		{"a deleted row", func(tx *memdb.Txn) error { return pets.Delete(tx, home, "1") },
			[]string{"food", "name", "row", "scope", "wildcard"}},
		{"a row with the missing name", func(tx *memdb.Txn) error {
			return pets.Put(tx, &pet{Scope: home, id: "2", name: "tom", foods: []string{"meat"}})
		}, []string{"missing name", "other food", "other row", "scope", "wildcard"}},
		{"a row that is no longer among those with a value", func(tx *memdb.Txn) error {
			return pets.Put(tx, &pet{Scope: home, id: "1", name: "rex"})
		}, []string{"food", "name", "row", "scope", "wildcard"}},
		{"a row in another namespace", func(tx *memdb.Txn) error {
			return pets.Put(tx, &pet{Scope: otherNS, id: "1", name: "rex", foods: []string{"fish"}})
		}, []string{"other scope", "wildcard"}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			db := open(t)
			put(t, db,
				&pet{Scope: home, id: "1", name: "rex", foods: []string{"fish"}},
				&pet{Scope: home, id: "2", name: "kit", foods: []string{"meat"}},
				&pet{Scope: home, id: "3", name: "pip", foods: []string{"fish"}},
				&pet{Scope: otherNS, id: "1", name: "ann", foods: []string{"fish", "meat"}})
			sets := map[string]memdb.WatchSet{}
			for name, watch := range watches {
				sets[name] = memdb.NewWatchSet()
				watch(db.Txn(false), sets[name])
			}
			tx := db.Txn(true)
			if err := tc.change(tx); err != nil {
				t.Fatal(err)
			}
			tx.Commit()
			var got []string
			for name, ws := range sets {
				// The page of a missing value is shared with its neighbours.
				if fired(ws) && (name != "missing name" || slices.Contains(tc.fires, name)) {
					got = append(got, name)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tc.fires) {
				t.Errorf("fired: %v\nwant:  %v", got, tc.fires)
			}
		})
	}
}

func TestThroughGoesByRisingValue(t *testing.T) {
	db := open(t)
	for i := range 100 {
		put(t, db, &pet{Scope: home, id: fmt.Sprint(i), name: fmt.Sprint(i), chip: fmt.Sprintf("%03d", (i*37)%100)})
	}
	tests := []struct {
		name  string
		limit string
		max   int
		want  int
	}{
		{"all up to a limit", "041", 1000, 42},
		{"values that begin with the limit", "04", 1000, 50},
		{"no more than asked for", "041", 5, 5},
		{"none", "", 0, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			rows := must(pets.Through(db.Txn(false), byChip, Global, tc.limit, tc.max))
			if len(rows) != tc.want {
				t.Fatalf("got %d rows, want %d", len(rows), tc.want)
			}
			for i, r := range rows {
				if r.chip != fmt.Sprintf("%03d", i) {
					t.Errorf("row %d has %s", i, r.chip)
				}
			}
		})
	}
}

// TestTableIsAMap drives a table and a plain map with the same random changes.
func TestTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db, err := Open(pets)
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]pet{}
		at := func(s tenancy.Scope, id string) string { return s.String() + "/" + id }
		for range rapid.IntRange(1, 300).Draw(t, "changes") {
			tx := db.Txn(true)
			p := drawPet(t)
			switch {
			case rapid.IntRange(0, 3).Draw(t, "delete") == 0:
				must(0, pets.Delete(tx, p.Scope, p.id))
				delete(model, at(p.Scope, p.id))
			case taken(model, p):
				if err := pets.Put(tx, &p); !errors.Is(err, ErrTaken) {
					t.Fatalf("put %v: %v", p, err)
				}
			default:
				must(0, pets.Put(tx, &p))
				model[at(p.Scope, p.id)] = p
			}
			tx.Commit()
		}
		compare(t, db.Txn(false), model)
	})
}

func drawPet(t *rapid.T) pet {
	digits := func(label string, n int) string { return fmt.Sprint(rapid.IntRange(0, n).Draw(t, label)) }
	p := pet{Scope: rapid.SampledFrom(scopes).Draw(t, "scope"), id: digits("id", 80), name: digits("name", 200)}
	if rapid.Bool().Draw(t, "chipped") {
		p.chip = digits("chip", 400)
	}
	for range rapid.IntRange(0, 3).Draw(t, "foods") {
		p.foods = append(p.foods, digits("food", 3))
	}
	return p
}

func taken(model map[string]pet, p pet) bool {
	for _, other := range model {
		if other.Scope == p.Scope && other.id == p.id {
			continue
		}
		if (other.chip != "" && other.chip == p.chip) || (other.Scope == p.Scope && other.name == p.name) {
			return true
		}
	}
	return false
}

func compare(t *rapid.T, tx *memdb.Txn, model map[string]pet) {
	ids := func(rows []*pet) string {
		var out []string
		for _, r := range rows {
			out = append(out, r.String()+"/"+r.id)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	where := func(keep func(pet) bool) string {
		var rows []*pet
		for _, p := range model {
			if keep(p) {
				rows = append(rows, &p)
			}
		}
		return ids(rows)
	}
	check := func(what string, got []*pet, want string) {
		if ids(got) != want {
			t.Fatalf("%s\n got %s\nwant %s", what, ids(got), want)
		}
	}
	check("all", slices.Collect(must(pets.All(tx))), where(func(pet) bool { return true }))
	for _, s := range scopes {
		check("list", must(pets.List(tx, nil, s)), where(func(p pet) bool { return p.Scope == s }))
		for f := range 4 {
			food := fmt.Sprint(f)
			check("food", must(pets.By(tx, nil, byFood, s, food)), where(func(p pet) bool {
				return p.Scope == s && slices.Contains(p.foods, food)
			}))
		}
		check("root", must(pets.By(tx, nil, byRoot, s, "all")), where(func(p pet) bool { return p.PartitionRoot() == s }))
	}
	check("wildcard", must(pets.List(tx, nil, wildcard)), where(func(p pet) bool { return p.Partition == "default" }))
	for _, p := range model {
		if got := must(pets.One(tx, nil, byName, p.Scope, p.name)); got == nil || got.id != p.id {
			t.Fatalf("name %s finds %v", p.name, got)
		}
	}
	chipped := must(pets.Through(tx, byChip, Global, "\xff", 1<<20))
	check("chips", chipped, where(func(p pet) bool { return p.chip != "" }))
	if !slices.IsSortedFunc(chipped, func(a, b *pet) int { return strings.Compare(a.chip, b.chip) }) {
		t.Fatal("chips are not sorted")
	}
}

// TestALoadedTableIsAMap loads random rows and compares the table with a plain map, before and after
// further changes.
func TestALoadedTableIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db, err := Open(pets)
		if err != nil {
			t.Fatal(err)
		}
		model := map[string]pet{}
		for range rapid.IntRange(0, 200).Draw(t, "rows") {
			if p := drawPet(t); !taken(model, p) {
				model[p.String()+"/"+p.id] = p
			}
		}
		tx, loader := db.Txn(true), pets.Load()
		for _, p := range model {
			must(0, loader.Add(tx, &p))
		}
		must(0, loader.Finish(tx))
		compare(t, tx, model)
		for range 50 {
			p := drawPet(t)
			if taken(model, p) {
				continue
			}
			must(0, pets.Put(tx, &p))
			model[p.String()+"/"+p.id] = p
		}
		compare(t, tx, model)
	})
}

func TestALoadRefusesAValueTwice(t *testing.T) {
	tx, loader := open(t).Txn(true), pets.Load()
	for _, id := range []string{"1", "2"} {
		must(0, loader.Add(tx, &pet{Scope: home, id: id, name: id, chip: "c"}))
	}
	if err := loader.Finish(tx); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v", err)
	}
}
