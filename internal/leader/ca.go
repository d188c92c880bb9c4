package leader

import (
	"context"
	"errors"

	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/uuid"
)

// initCA makes the first root of the mesh CA, with the key and the cluster's
// UUID, unless there is one (mesh.md section 1).
func (l *Leader) initCA(ctx context.Context) error {
	active, err := l.Store.Read().ActiveCARoot(nil)
	if err != nil || active != nil {
		return err
	}
	root, err := ca.NewMeshRoot(uuid.New(), l.now().UTC(), ca.MeshRootLife)
	if err != nil {
		return err
	}
	_, err = l.Raft.Propose(ctx, fsm.CARootSet{Root: root})
	if errors.Is(err, fsm.ErrChanged) {
		return nil // a leader before this one has made it
	}
	if err == nil {
		l.Log.Info("initialized primary datacenter CA with provider", "provider", "consul")
	}
	return err
}
