package store

import (
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/hashicorp/go-memdb"
	"pgregory.net/rapid"

	"github.com/lictor/lictor/internal/tenancy"
)

// inPages reads a list in pages of a size, each from behind the last place of the one before.
func inPages(size int, from func(after string) (iter.Seq2[string, *pet], error)) []*pet {
	var all []*pet
	for after := ""; ; {
		n := 0
		for place, row := range must(from(after)) {
			if n == size {
				break
			}
			all, after, n = append(all, row), place, n+1
		}
		if n < size {
			return all
		}
	}
}

// Pages of any size make up the list, whatever the scope and the index.
func TestPagesMakeUpTheList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db, err := Open(pets)
		if err != nil {
			t.Fatal(err)
		}
		tx, model := db.Txn(true), map[string]pet{}
		for range rapid.IntRange(0, 300).Draw(t, "rows") {
			if p := drawPet(t); !taken(model, p) {
				must(0, pets.Put(tx, &p))
				model[p.String()+"/"+p.id] = p
			}
		}
		size := rapid.IntRange(1, 40).Draw(t, "size")
		for _, s := range append([]tenancy.Scope{wildcard}, scopes...) {
			got := inPages(size, func(after string) (iter.Seq2[string, *pet], error) { return pets.ListFrom(tx, nil, s, after) })
			if want := must(pets.List(tx, nil, s)); !slices.Equal(got, want) {
				t.Fatalf("%s in pages of %d: %d rows, the list has %d", s, size, len(got), len(want))
			}
			for food := range 4 {
				value := fmt.Sprint(food)
				got := inPages(size, func(after string) (iter.Seq2[string, *pet], error) {
					return pets.ByFrom(tx, nil, byFood, s, value, after)
				})
				if want := must(pets.By(tx, nil, byFood, s, value)); !slices.Equal(got, want) {
					t.Fatalf("%s, food %s in pages of %d: %d rows, the list has %d", s, value, size, len(got), len(want))
				}
			}
			got = inPages(size, func(after string) (iter.Seq2[string, *pet], error) {
				return pets.ByFrom(tx, nil, byRoot, s, "all", after)
			})
			if want := must(pets.By(tx, nil, byRoot, s, "all")); !slices.Equal(got, want) {
				t.Fatalf("rows of other scopes in pages of %d: %d rows, the list has %d", size, len(got), len(want))
			}
		}
	})
}

func TestAPlaceHoldsWhileRowsComeAndGo(t *testing.T) {
	db := open(t)
	for i := range 9 {
		put(t, db, &pet{Scope: home, id: fmt.Sprint(i), name: fmt.Sprint(i), foods: []string{"x"}})
	}
	tx := db.Txn(true)
	must(0, pets.Delete(tx, home, "4")) // the place itself
	must(0, pets.Put(tx, &pet{Scope: home, id: "2a", name: "2a", foods: []string{"x"}}))
	must(0, pets.Put(tx, &pet{Scope: home, id: "6a", name: "6a", foods: []string{"x"}}))
	tx.Commit()
	for name, from := range map[string]func() (iter.Seq2[string, *pet], error){
		"list": func() (iter.Seq2[string, *pet], error) { return pets.ListFrom(db.Txn(false), nil, home, "4") },
		"index": func() (iter.Seq2[string, *pet], error) {
			return pets.ByFrom(db.Txn(false), nil, byFood, home, "x", "4")
		},
	} {
		var got []string
		for _, row := range must(from()) {
			got = append(got, row.id)
		}
		if want := []string{"5", "6", "6a", "7", "8"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestAPageHearsOfChangesOfTheList(t *testing.T) {
	db := open(t)
	put(t, db, &pet{Scope: home, id: "1", name: "1", foods: []string{"x"}}, &pet{Scope: otherNS, id: "1", name: "1"})
	list, index, elsewhere := memdb.NewWatchSet(), memdb.NewWatchSet(), memdb.NewWatchSet()
	must(pets.ListFrom(db.Txn(false), list, home, "1"))
	must(pets.ByFrom(db.Txn(false), index, byFood, home, "x", "1"))
	must(pets.ListFrom(db.Txn(false), elsewhere, otherNS, ""))
	put(t, db, &pet{Scope: home, id: "2", name: "2", foods: []string{"x"}})
	if !fired(list) || !fired(index) || fired(elsewhere) {
		t.Errorf("list %v, index %v, elsewhere %v", fired(list), fired(index), fired(elsewhere))
	}
}
