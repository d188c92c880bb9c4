package fsm

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/authmethod"
	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/kv"
	"github.com/lictor/lictor/internal/state"
	"github.com/lictor/lictor/internal/tenancy"
)

// A snapshot is a magic word and a format byte; then records, each a kind, a length and
// a msgpack row; then kind 0 and the number of records; then a SHA-256 of all of
// that. Kinds and lengths are uvarints.
const (
	snapshotMagic  = "lictor snapshot\n"
	snapshotFormat = 1
	maxRecordBytes = 64 << 20
)

// recordKinds are the numbers of the tables in a snapshot, never changed and never used
// again. Rows that others link to come first. Kind 9 is a state.Meta.
var recordKinds = []struct {
	kind  uint64
	table state.TableName
	row   func() any
}{
	{1, state.TablePartitions, func() any { return new(tenancy.Partition) }},
	{2, state.TableNamespaces, func() any { return new(tenancy.Namespace) }},
	{3, state.TablePolicies, func() any { return new(acl.Policy) }},
	{4, state.TableRoles, func() any { return new(acl.Role) }},
	{5, state.TableAuthMethods, func() any { return new(authmethod.Method) }},
	{6, state.TableBindingRules, func() any { return new(authmethod.BindingRule) }},
	{7, state.TableTokens, func() any { return new(acl.Token) }},
	{10, state.TableCARoots, func() any { return new(ca.Root) }},
	{11, state.TableAutopilot, func() any { return new(autopilot.Config) }},
	{40, state.TableLoginProofs, func() any { return new(authmethod.UsedProof) }},
	{60, state.TableNodes, func() any { return new(catalog.Node) }},
	{61, state.TableInstances, func() any { return new(catalog.Instance) }},
	{62, state.TableChecks, func() any { return new(catalog.Check) }},
	{63, state.TableServiceNames, func() any { return new(catalog.ServiceName) }},
	{64, state.TableMarks, func() any { return new(state.Mark) }},
	{65, state.TableVirtualIPs, func() any { return new(catalog.VirtualIP) }},
	{66, state.TableCoordinates, func() any { return new(catalog.Coordinate) }},
	{70, state.TableSessions, func() any { return new(kv.Session) }},
	{71, state.TableKV, func() any { return new(kv.Pair) }},
	{72, state.TableTombstones, func() any { return new(kv.Tombstone) }},
	{73, state.TableLockDelays, func() any { return new(kv.LockDelay) }},
	{100, state.TableConfigEntries, func() any { return new(configentry.Entry) }},
	{110, state.TableCAConfig, func() any { return new(ca.Config) }},
}

const (
	endKind  = 0
	metaKind = 9
)

func newRow(kind uint64) (any, error) {
	if kind == metaKind {
		return new(state.Meta), nil
	}
	for _, r := range recordKinds {
		if r.kind == kind {
			return r.row(), nil
		}
	}
	return nil, fmt.Errorf("unknown record kind %d: the snapshot was written by a newer version", kind)
}

// Snapshot implements raft.FSM. It is cheap: the view that it captures is immutable.
func (f *FSM) Snapshot() (raft.FSMSnapshot, error) { return snapshot{f.store.Read()}, nil }

type snapshot struct{ tx *state.Tx }

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := WriteSnapshot(sink, s.tx); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// WriteSnapshot writes everything in tx to w.
func WriteSnapshot(w io.Writer, tx *state.Tx) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	sum := sha256.New()
	out := &recordWriter{w: io.MultiWriter(buf, sum)}
	out.bytes(append([]byte(snapshotMagic), snapshotFormat))
	out.record(metaKind, tx.Meta())
	for _, k := range recordKinds {
		rows, err := tx.Rows(k.table)
		if err != nil {
			return err
		}
		for row := range rows {
			out.record(k.kind, row)
		}
	}
	out.bytes(binary.AppendUvarint([]byte{endKind}, out.count))
	out.bytes(sum.Sum(nil))
	if out.err != nil {
		return out.err
	}
	return buf.Flush()
}

// recordWriter writes until the first error.
type recordWriter struct {
	w     io.Writer
	count uint64
	err   error
}

func (o *recordWriter) bytes(b []byte) {
	if o.err == nil {
		_, o.err = o.w.Write(b)
	}
}

func (o *recordWriter) record(kind uint64, row any) {
	if o.err != nil {
		return
	}
	body, err := marshal(row)
	if err != nil {
		o.err = fmt.Errorf("write snapshot: %T: %w", row, err)
		return
	}
	head := binary.AppendUvarint(binary.AppendUvarint(nil, kind), uint64(len(body)))
	o.bytes(head)
	o.bytes(body)
	o.count++
}
