package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// leafEntry is the leaf of one service. Leafs.mu guards it.
type leafEntry struct {
	leaf    *endpoint.Leaf // nil before there is one; never changed, only replaced
	rootID  string         // that signed it
	got     time.Time
	due     time.Time // for renewal
	ends    time.Time // of its life, counted from when it was got
	used    time.Time
	waiting int           // callers that ask or wait for it
	signing bool          // one of them has it signed
	retry   time.Time     // not before
	pause   time.Duration // before the last retry
	changed chan struct{} // closed at the next change
}

func (e *leafEntry) tell() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// enter returns the entry of a service, for a caller until exit.
func (l *Leafs) enter(id ca.ServiceID) *leafEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	if e == nil {
		if l.entries == nil {
			l.entries = map[ca.ServiceID]*leafEntry{}
		}
		l.forget()
		e = &leafEntry{changed: make(chan struct{})}
		l.entries[id] = e
	}
	e.waiting++
	e.used = l.now()
	return e
}

func (l *Leafs) exit(e *leafEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.waiting--
	e.used = l.now()
}

// forget makes room for another entry: it drops what nobody uses, and where that is not
// enough, some entry that nobody waits for, which can be signed again. l.mu is held.
func (l *Leafs) forget() {
	now := l.now()
	for id, e := range l.entries {
		if e.waiting == 0 && (now.Sub(e.used) > leafUnused || !now.Before(e.ends)) {
			delete(l.entries, id)
		}
	}
	for id, e := range l.entries {
		if len(l.entries) < maxLeafs {
			return
		}
		if e.waiting == 0 {
			delete(l.entries, id)
		}
	}
}

// leafView is what a caller sees of an entry.
type leafView struct {
	leaf    *endpoint.Leaf // that is valid; nil if there is none
	age     time.Duration
	due     bool          // it is to be renewed, or there is none
	busy    bool          // somebody has one signed
	mine    bool          // this caller has to have one signed
	wake    time.Duration // until something is to be done
	changed <-chan struct{}
}

// look returns what there is. Where a leaf is to be signed, the first caller who looks and is
// willing has to do so, with renew.
func (l *Leafs) look(e *leafEntry, willing bool) leafView {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	v := leafView{changed: e.changed, busy: e.signing, due: e.leaf == nil || !now.Before(e.due), wake: checkEvery}
	if e.leaf != nil && now.Before(e.ends) && !now.Before(e.got.Add(-checkEvery)) {
		v.leaf, v.age = e.leaf, max(0, now.Sub(e.got))
	}
	switch {
	case !v.due:
		v.wake = min(v.wake, e.due.Sub(now))
	case !e.signing && now.Before(e.retry):
		v.wake = min(v.wake, e.retry.Sub(now))
	case !e.signing && willing:
		e.signing, v.mine = true, true
	}
	return v
}

// renew has a leaf signed for the entry, and wakes whoever waits for that.
func (l *Leafs) renew(ctx context.Context, e *leafEntry, id ca.ServiceID, token logging.Secret) error {
	leaf, answer, err := l.sign(ctx, id, token)
	l.mu.Lock()
	defer l.mu.Unlock()
	e.signing = false
	defer e.tell()
	now := l.now()
	switch {
	case later(err):
		last := lastRetry
		if valid := e.leaf != nil && now.Before(e.ends); !valid {
			last = leafHold / 4 // whoever asks does so only for so long
		}
		e.pause = min(max(2*e.pause, firstRetry), last)
		e.retry = now.Add(e.pause/2 + rand.N(e.pause))
		return err
	case err != nil: // another caller may be luckier
		return err
	}
	life := max(shortestLife, leaf.ValidBefore.Sub(leaf.ValidAfter)-time.Minute) // it began a minute before it was signed
	leaf.ModifyIndex = uint64(now.Unix())                                        // so that it rises across restarts of the agent
	if e.leaf != nil {
		leaf.ModifyIndex = max(leaf.ModifyIndex, e.leaf.ModifyIndex+1)
	}
	leaf.CreateIndex = leaf.ModifyIndex
	e.leaf, e.rootID, e.got, e.retry, e.pause = leaf, answer.RootID, now, time.Time{}, 0
	e.ends = now.Add(life)
	e.due = now.Add(life*6/10 + rand.N(life*3/10))
	if l.roots.active != answer.RootID && l.roots.index > answer.Index {
		l.renewSoon(e) // the roots have changed meanwhile
	}
	return nil
}

// sign makes a key, has a leaf for it signed, and checks that it is what was asked for.
func (l *Leafs) sign(ctx context.Context, id ca.ServiceID, token logging.Secret) (*endpoint.Leaf, *endpoint.LeafAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, leafSign)
	defer cancel()
	csr, key, err := ca.NewCSR(id.URI())
	if err != nil {
		return nil, nil, err
	}
	answer, err := l.Sign(ctx, token, endpoint.LeafRequest{CSR: string(csr)})
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.X509KeyPair([]byte(answer.CertPEM), []byte(key.Reveal()))
	if err != nil {
		return nil, nil, fmt.Errorf("the leaf is not what was asked for: %w", err)
	}
	if len(pair.Leaf.URIs) != 1 || pair.Leaf.URIs[0].String() != id.URI().String() {
		return nil, nil, fmt.Errorf("the leaf is not what was asked for: it is for %v", pair.Leaf.URIs)
	}
	return &endpoint.Leaf{
		SerialNumber: answer.SerialNumber, CertPEM: answer.CertPEM, PrivateKeyPEM: key,
		Service: answer.Service, ServiceURI: answer.ServiceURI,
		ValidAfter: answer.ValidAfter, ValidBefore: answer.ValidBefore,
	}, answer, nil
}

// later reports whether err is one that another attempt may not meet.
func later(err error) bool {
	kind := errs.KindOf(err)
	return err != nil && (kind == errs.Throttled || kind == errs.Unavailable || errors.Is(err, context.DeadlineExceeded))
}
