package store

import (
	"testing"

	"github.com/lictor/lictor/internal/tenancy"
)

func TestHasFindsAValueInItsScopeAlone(t *testing.T) {
	db := open(t)
	tx := db.Txn(true)
	if err := pets.Put(tx, &pet{Scope: home, id: "1", name: "Rex", foods: []string{"fish", "meat"}}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		scope tenancy.Scope
		food  string
		want  bool
	}{
		{"a value", home, "meat", true},
		{"the beginning of a value", home, "me", false},
		{"a longer value", home, "meats", false},
		{"another scope", otherNS, "meat", false},
	}
	for _, tc := range tests {
		if got, err := pets.Has(tx, byFood, tc.scope, tc.food); err != nil || got != tc.want {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
	if err := pets.Delete(tx, home, "1"); err != nil {
		t.Fatal(err)
	}
	if got, err := pets.Has(tx, byFood, home, "meat"); err != nil || got {
		t.Errorf("after the row has gone: %v, %v", got, err)
	}
}
