package state

import (
	"time"

	"github.com/hashicorp/go-memdb"

	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/store"
	"github.com/lictor/lictor/internal/tenancy"
)

// Proofs of logins count across all scopes: one made for a method is refused by another too.
func loginProofAt(p *authmethod.UsedProof) (tenancy.Scope, string) { return store.Global, p.Proof }

var (
	loginProofEnds = store.Unique("end", func(p *authmethod.UsedProof, add func(tenancy.Scope, string)) {
		add(store.Global, expiryKey(p.Ends)+p.Proof)
	})

	loginProofs = &resource[authmethod.UsedProof]{
		name:    TableLoginProofs,
		at:      loginProofAt,
		rows:    store.NewTable("login-proofs", loginProofAt, loginProofEnds),
		indexes: func(p *authmethod.UsedProof) (*uint64, *uint64) { return &p.CreateIndex, &p.ModifyIndex },
	}
)

// LoginProof returns the login that used a proof, or nil if none did.
func (tx *Tx) LoginProof(ws memdb.WatchSet, proof string) (*authmethod.UsedProof, error) {
	return loginProofs.rows.Get(tx.db, ws, store.Global, proof)
}

// LoginProofsEnding returns at most limit proofs that are worthless at or before a
// time, those that end first in front.
func (tx *Tx) LoginProofsEnding(before time.Time, limit int) ([]*authmethod.UsedProof, error) {
	return loginProofs.rows.Through(tx.db, loginProofEnds, store.Global, expiryKey(before), limit)
}

// PutLoginProof remembers that a login used a proof.
func (tx *Tx) PutLoginProof(p authmethod.UsedProof) error { return loginProofs.put(tx, p) }

// DeleteLoginProof forgets a proof.
func (tx *Tx) DeleteLoginProof(proof string) error {
	return loginProofs.remove(tx, store.Global, proof)
}
