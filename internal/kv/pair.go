// Package kv is the domain of keys and values, of the sessions that lock them, and
// of transactions (spec: catalog.md sections 6 to 8). It has no I/O and no clock.
package kv

import (
	"time"

	"github.com/lictor/lictor/internal/tenancy"
)

// Pair is a key with its value. Keys are texts of their namespace; a slash in one means
// nothing to the store.
type Pair struct {
	LockIndex uint64 // how many times a session has locked the key
	Key       string
	Flags     uint64 // a number that is the client's own
	Value     []byte
	Session   string // ID of the session that holds the lock; "" is none
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// Verb is what an operation does to a key, in the words of transactions.
type Verb string

// The verbs. Those up to DeleteTree may change something.
const (
	Set        Verb = "set"
	CAS        Verb = "cas"
	Lock       Verb = "lock"
	Unlock     Verb = "unlock"
	Delete     Verb = "delete"
	DeleteCAS  Verb = "delete-cas"
	DeleteTree Verb = "delete-tree"

	Get            Verb = "get"
	GetOrEmpty     Verb = "get-or-empty"
	GetTree        Verb = "get-tree"
	CheckIndex     Verb = "check-index"
	CheckSession   Verb = "check-session"
	CheckNotExists Verb = "check-not-exists"
)

// Reads reports whether v changes nothing.
func (v Verb) Reads() bool {
	switch v {
	case Get, GetOrEmpty, GetTree, CheckIndex, CheckSession, CheckNotExists:
		return true
	}
	return false
}

// Known reports whether v is one of the verbs.
func (v Verb) Known() bool {
	switch v {
	case Set, CAS, Lock, Unlock, Delete, DeleteCAS, DeleteTree:
		return true
	}
	return v.Reads()
}

// Tombstone remembers when a key was deleted, or with Tree every key that began
// with Key, so that the index of what is no longer there does not go backwards.
type Tombstone struct {
	Key  string
	Tree bool
	tenancy.Scope
	ModifyIndex uint64
}

// LockDelay keeps a key from being locked for a while after its holder's session
// has ended otherwise than by an unlock.
type LockDelay struct {
	Key   string
	Until time.Time
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}
