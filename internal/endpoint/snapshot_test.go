package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/snapshot"
	"github.com/lictor/lictor/internal/tenancy"
)

// snapshotNode takes and restores snapshots of a world.
type snapshotNode struct {
	*world
	restores int
}

func (n *snapshotNode) SaveSnapshot(context.Context) (*raft.SnapshotMeta, io.ReadCloser, error) {
	data := n.content()
	return &raft.SnapshotMeta{Version: 1, ID: "1", Index: n.raft.index, Term: 1, Size: int64(len(data))},
		io.NopCloser(bytes.NewReader(data)), nil
}

func (n *snapshotNode) Restore(ctx context.Context, meta *raft.SnapshotMeta, content io.Reader) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n.restores++
	n.raft.index = max(n.raft.index, meta.Index) + 1
	return n.raft.fsm.Restore(io.NopCloser(content))
}

// content is every row of every table.
func (w *world) content() []byte {
	w.t.Helper()
	var b bytes.Buffer
	if err := fsm.WriteSnapshot(&b, w.state.Read()); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

// snapshots returns the operations of w, and the node below them.
func (w *world) snapshots() (*Snapshots, *snapshotNode) {
	n := &snapshotNode{world: w}
	return &Snapshots{Backend: w.Backend, Node: n, TempDir: w.t.TempDir()}, n
}

// archive returns an archive of w.
func (w *world) archive() []byte {
	w.t.Helper()
	e, _ := w.snapshots()
	s, _, err := e.Save(ctx, w.root, Read{})
	if err != nil {
		w.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := errors.Join(s.Write(&b), s.Close()); err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func TestASnapshotBringsBackAllTables(t *testing.T) {
	old := newWorld(t)
	team := old.in("east", "team")
	old.token(team, acl.Token{Policies: []acl.Link{{ID: old.policy(team, "p", `acl = "read"`).ID}}})
	old.login(t)
	w := newWorld(t)
	w.policy(tenancy.Default, "lost", "")
	e, node := w.snapshots()
	if err := e.Restore(ctx, w.root, bytes.NewReader(old.archive())); err != nil {
		t.Fatal(err)
	}
	if node.restores != 1 || !bytes.Equal(w.content(), old.content()) {
		t.Error("the tables differ")
	}
	_, err := w.Resolver.Resolve(ctx, w.root.Token.SecretID)
	wantError(t, err, errs.Denied, acl.ErrNotFound.Error())
	who, err := w.Resolver.Resolve(ctx, old.root.Token.SecretID)
	if err != nil || !who.Allowed(tenancy.Default, acl.ACLWrite, "") {
		t.Errorf("the tokens of the snapshot do not count: %v", err)
	}
	if entries, err := os.ReadDir(e.TempDir); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestAnArchiveThatIsNotSoundChangesNothing(t *testing.T) {
	w := newWorld(t)
	good := w.archive()
	w.policy(tenancy.Default, "since", "")
	before := w.content()
	e, node := w.snapshots()
	packed := func(content []byte) []byte {
		var b bytes.Buffer
		if err := snapshot.Write(&b, &raft.SnapshotMeta{Version: 1, Size: int64(len(content))}, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0xff
		if err := e.Restore(ctx, w.root, bytes.NewReader(bad)); errs.KindOf(err) != errs.Invalid {
			t.Fatalf("byte %d of %d altered: %v", i, len(good), err)
		}
	}
	for name, bad := range map[string][]byte{
		"nothing": nil, "half of it": good[:len(good)/2], "all but the last byte": good[:len(good)-1], "more than it": append(bytes.Clone(good), 0),
		"no rows": packed(nil), "other rows": packed([]byte("a state of another program")), "half of the rows": packed(before[:len(before)/2]),
	} {
		if err := e.Restore(ctx, w.root, bytes.NewReader(bad)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if node.restores > 0 || !bytes.Equal(w.content(), before) {
		t.Error("something changed")
	}
}

func TestWhoMaySaveAndRestore(t *testing.T) {
	w := newWorld(t)
	archive := w.archive()
	e, node := w.snapshots()
	team := w.in("default", "team")
	for _, tc := range []struct {
		name, text string
		who        acl.Caller
	}{
		{"everybody may not", "Permission denied: anonymous token lacks permission 'acl:write'", w.resolve("")},
		{"an operator may not", "lacks permission 'acl:write'", w.caller(tenancy.Default, `operator = "write" key_prefix "" { policy = "write" }`)},
		{"who reads ACLs may not", "lacks permission 'acl:write'", w.caller(tenancy.Default, `acl = "read"`)},
		{"who writes those of another namespace may not", "lacks permission 'acl:write'", w.caller(team, `acl = "write"`)},
		{"who writes ACLs may", "", w.caller(tenancy.Default, `acl = "write"`)},
	} {
		_, _, saving := e.Save(ctx, tc.who, Read{})
		restoring := e.Restore(ctx, tc.who, bytes.NewReader(archive))
		for _, err := range []error{saving, restoring} {
			if tc.text == "" && err != nil || tc.text != "" && (errs.KindOf(err) != errs.Denied || !strings.Contains(err.Error(), tc.text)) {
				t.Errorf("%s: %v", tc.name, err)
			}
		}
	}
	if node.restores != 1 {
		t.Errorf("%d restores", node.restores)
	}
}

func TestADefaultOfAllowDoesNotSave(t *testing.T) {
	w := newWorld(t)
	w.Resolver.DefaultPolicyAllow = true
	e, _ := w.snapshots()
	if _, _, err := e.Save(ctx, w.resolve(""), Read{}); errs.KindOf(err) != errs.Denied {
		t.Errorf("got %v", err)
	}
}

// during calls do when it is first read.
type during struct {
	io.Reader
	do func()
}

func (d *during) Read(p []byte) (int, error) {
	if d.do != nil {
		d.do()
		d.do = nil
	}
	return d.Reader.Read(p)
}

func TestATokenThatGoesDuringTheUploadRestoresNothing(t *testing.T) {
	w := newWorld(t)
	archive := w.archive()
	e, node := w.snapshots()
	who := w.caller(tenancy.Default, `acl = "write"`)
	err := e.Restore(ctx, who, &during{bytes.NewReader(archive), func() {
		w.propose(fsm.TokenDelete{Scope: tenancy.Default, AccessorID: who.AccessorID})
	}})
	wantError(t, err, errs.Denied, acl.ErrNotFound.Error())
	if node.restores > 0 {
		t.Error("restored")
	}
}

func TestOneRestoreAtATime(t *testing.T) {
	w := newWorld(t)
	archive := w.archive()
	e, _ := w.snapshots()
	err := e.Restore(ctx, w.root, &during{bytes.NewReader(archive), func() {
		wantError(t, e.Restore(ctx, w.root, bytes.NewReader(archive)), errs.Conflict, "another snapshot is being restored")
	}})
	if err != nil {
		t.Error(err)
	}
	if err := e.Restore(ctx, w.root, bytes.NewReader(archive)); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestACallerWhoGoesAwayLeavesNoHalfOfARestore(t *testing.T) {
	w := newWorld(t)
	archive := w.archive()
	e, node := w.snapshots()
	gone, cancel := context.WithCancel(ctx)
	if err := e.Restore(gone, w.root, &during{bytes.NewReader(archive), cancel}); err != nil || node.restores != 1 {
		t.Errorf("%v, %d restores", err, node.restores)
	}
}

func TestASnapshotNeedsAPlaceToKeepTheArchive(t *testing.T) {
	w := newWorld(t)
	archive := w.archive()
	e, node := w.snapshots()
	e.TempDir = "/nosuch"
	if err := e.Restore(ctx, w.root, bytes.NewReader(archive)); err == nil || errs.KindOf(err) != errs.Internal || node.restores > 0 {
		t.Errorf("got %v", err)
	}
}
