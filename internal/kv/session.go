package kv

import (
	"slices"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/tenancy"
)

// What the end of a session does to the keys that it holds.
const (
	Release    = "release" // they stay
	DeleteKeys = "delete"  // they go
)

// Bounds of a session (catalog.md section 7).
const (
	DefaultLockDelay = 15 * time.Second
	MinTTL           = 10 * time.Second // unless configured
	MaxTTL           = 24 * time.Hour
)

// Session ties locks to the health of a node. It ends when it is destroyed, when its
// node goes away, when one of its checks goes away or turns critical, and some time
// after its TTL without a renewal. Its JSON is the API's.
type Session struct {
	ID            string
	Name          string
	Node          string
	LockDelay     time.Duration // nanoseconds
	Behavior      string        // Release or DeleteKeys
	TTL           string        // a duration as the client wrote it; "" is none
	NodeChecks    []string      // IDs of checks on the node, in its partition's default namespace
	ServiceChecks []ServiceCheck
	tenancy.Scope
	CreateIndex uint64
	ModifyIndex uint64
}

// ServiceCheck names a check of a service on the session's node.
type ServiceCheck struct {
	ID        string
	Namespace string `json:",omitempty"` // "" is the session's
}

// Validate checks what the session says by itself; minTTL is the least TTL. It returns
// errs.Invalid.
func (s *Session) Validate(minTTL time.Duration) error {
	if s.Behavior != Release && s.Behavior != DeleteKeys {
		return errs.Errorf(errs.Invalid, "Invalid Behavior setting '%s'", s.Behavior)
	}
	if s.LockDelay < 0 {
		return errs.Errorf(errs.Invalid, "Invalid LockDelay '%d', must not be negative", s.LockDelay)
	}
	if s.TTL == "" {
		return nil
	}
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil {
		return errs.Errorf(errs.Invalid, "Session TTL '%s' invalid: %v", s.TTL, err)
	}
	if ttl != 0 && (ttl < minTTL || ttl > MaxTTL) {
		return errs.Errorf(errs.Invalid, "Invalid Session TTL '%d', must be between [%v=%v]", ttl, minTTL, MaxTTL)
	}
	return nil
}

// Life returns the session's TTL, 0 if it has none.
func (s *Session) Life() time.Duration {
	ttl, err := time.ParseDuration(s.TTL)
	if err != nil {
		return 0
	}
	return ttl
}

// CheckScope returns where the check that c names lives.
func (s *Session) CheckScope(c ServiceCheck) tenancy.Scope {
	at := s.Scope
	if c.Namespace != "" {
		at.Namespace = c.Namespace
	}
	return at
}

// DependsOn reports whether the session ends with the check that has an ID and lives in a
// scope.
func (s *Session) DependsOn(at tenancy.Scope, checkID string) bool {
	if at == s.PartitionRoot() && slices.Contains(s.NodeChecks, checkID) {
		return true
	}
	return slices.ContainsFunc(s.ServiceChecks, func(c ServiceCheck) bool {
		return c.ID == checkID && s.CheckScope(c) == at
	})
}
