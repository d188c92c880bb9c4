package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/endpoint"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/tenancy"
)

// maxTxnOps is how many operations a transaction may have (catalog.md section 8).
const maxTxnOps = 128

const parseFailed = "Failed to parse body"

var txnRoutes = []route{
	{http.MethodPut, "/v1/txn", OnLeader, "key:write, node:write, service:write, session:write", "txn", (*API).txn, txnBody},
}

// txnOp is an operation as clients send it: one field is set.
type txnOp struct {
	KV      *txnKV
	Node    *txnNode
	Service *txnService
	Check   *txnCheck
	Session *txnSession
}

type txnKV struct {
	Verb    kv.Verb
	Key     string
	Value   []byte
	Flags   uint64
	Index   uint64
	Session string
	tenancy.Scope
}

type txnNode struct {
	Verb kv.Verb
	Node struct {
		catalog.Node
		PeerName string
	}
}

type txnService struct {
	Verb    kv.Verb
	Node    string
	Service registeredService
}

type txnCheck struct {
	Verb  kv.Verb
	Check registeredCheck
}

type txnSession struct {
	Verb    kv.Verb
	Session sessionBody
}

// txn handles PUT /v1/txn.
func (a *API) txn(r *request) (any, error) {
	var body []txnOp
	if err := r.decode(parseFailed, &body); err != nil {
		return nil, err
	}
	if len(body) > maxTxnOps {
		return nil, &statusError{http.StatusRequestEntityTooLarge,
			fmt.Sprintf("Transaction contains too many operations (%d > %d)", len(body), maxTxnOps)}
	}
	req := endpoint.TxnRequest{Ops: make([]fsm.TxnOp, len(body)), Read: r.read}
	req.Stale, req.Consistent = r.query.Has("stale"), r.query.Has("consistent")
	if req.Stale && req.Consistent {
		return nil, errs.New(errs.Invalid, "Cannot specify ?stale with ?consistent, conflicting semantics.")
	}
	for i := range body {
		var err error
		if req.Ops[i], err = body[i].op(r); err != nil {
			return nil, err
		}
	}
	results, meta, err := a.Txns.Run(r.Context(), r.caller, req)
	answer := txnAnswer{results: results}
	if failure := (*fsm.TxnFailure)(nil); errors.As(err, &failure) {
		answer.errors = failure.Errors
	} else if err != nil {
		return nil, err
	}
	if req.ReadOnly() {
		r.meta, answer.meta, answer.read = &meta, &meta, req.Read
	}
	if answer.errors != nil {
		return coded{http.StatusConflict, answer}, nil
	}
	return answer, nil
}

// op returns the operation with its scope.
func (o *txnOp) op(r *request) (fsm.TxnOp, error) {
	out, set := fsm.TxnOp{}, 0
	var at *tenancy.Scope
	if b := o.KV; b != nil {
		out.KV = &fsm.KVOp{Verb: b.Verb, Index: b.Index, Pair: kv.Pair{
			Key: b.Key, Value: b.Value, Flags: b.Flags, Session: b.Session, Scope: b.Scope,
		}}
		at, set = &out.KV.Pair.Scope, set+1
	}
	if b := o.Node; b != nil {
		out.Node = &fsm.NodeOp{Verb: b.Verb, Node: b.Node.Node}
		out.Node.Node.ID = strings.ToLower(b.Node.ID)
		at, set = &out.Node.Node.Scope, set+1
	}
	if b := o.Service; b != nil {
		out.Service = &fsm.ServiceOp{Verb: b.Verb, Service: catalog.Instance{Node: b.Node, Service: b.Service.Service}}
		at, set = &out.Service.Service.Scope, set+1
	}
	if b := o.Check; b != nil {
		out.Check = &fsm.CheckOp{Verb: b.Verb, Check: b.Check.check()}
		out.Check.Check.ModifyIndex = b.Check.ModifyIndex
		at, set = &out.Check.Check.Scope, set+1
	}
	if b := o.Session; b != nil {
		if b.Verb != kv.Delete {
			return out, errs.Errorf(errs.Invalid, "unknown Session operation: %s", b.Verb)
		}
		out.Session = &fsm.SessionDestroy{Scope: b.Session.Scope, ID: strings.ToLower(b.Session.ID)}
		at, set = &out.Session.Scope, set+1
	}
	if set != 1 {
		return out, errs.Errorf(errs.Invalid, "%s: an operation has to be one of KV, Node, Service, Check and Session", parseFailed)
	}
	if err := r.bodyScope(at); err != nil {
		return out, err
	}
	if out.Node != nil {
		*at = at.PartitionRoot()
	}
	return out, nil
}

// txnAnswer is the outcome of a transaction.
type txnAnswer struct {
	results []fsm.TxnResult
	errors  []fsm.TxnError // of a transaction that did not happen
	meta    *endpoint.Meta // of one that only reads
	read    endpoint.Read
}

func (t txnAnswer) appendJSON(b []byte) ([]byte, error) {
	b = append(b, `{"Results":`...)
	var err error
	if t.errors != nil {
		b = append(b, "null"...)
	} else if b, err = appendList(b, t.results, appendResult); err != nil {
		return nil, err
	}
	list, err := json.Marshal(t.errors)
	if err != nil {
		return nil, err
	}
	b = append(append(b, `,"Errors":`...), list...)
	if m := t.meta; m != nil {
		b = strconv.AppendUint(append(b, `,"Index":`...), m.Index, 10)
		b = strconv.AppendInt(append(b, `,"LastContact":`...), int64(m.LastContact), 10)
		b = strconv.AppendBool(append(b, `,"KnownLeader":`...), m.KnownLeader)
		b = appendString(append(b, `,"ConsistencyLevel":`...), consistency(t.read))
		b = append(b, `,"NotModified":false,"Backend":0,"ResultsFilteredByACLs":false`...)
	}
	return append(b, '}'), nil
}

func appendResult(b []byte, r fsm.TxnResult) ([]byte, error) {
	var err error
	switch {
	case r.KV != nil:
		b = appendPair(append(b, `{"KV":`...), r.KV)
	case r.Node != nil:
		b = appendNode(append(b, `{"Node":`...), r.Node)
	case r.Service != nil:
		b, err = appendService(append(b, `{"Service":`...), &r.Service.Service)
	default:
		b, err = appendCheckWith(append(b, `{"Check":`...), r.Check, appendStringsOrNull)
	}
	return append(b, '}'), err
}

// appendStringsOrNull shows a check without tags as transactions do.
func appendStringsOrNull(b []byte, list []string) []byte {
	if len(list) == 0 {
		return append(b, "null"...)
	}
	return appendStrings(b, list)
}
