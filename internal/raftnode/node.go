package raftnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/fsm"
)

// ErrNoLeader is the answer to what only a leader can do. Clients match its text.
var ErrNoLeader = errs.New(errs.Unavailable, "No cluster leader")

// Node is one server's part in replication. Its methods are safe for concurrent use.
type Node struct {
	cfg       Config
	log       *slog.Logger
	raft      *raft.Raft
	transport *transport
	storage   *storage

	progress    *progress
	acks        *acks
	due         *due
	lease       time.Duration
	term        atomic.Uint64 // in which it leads and has applied what was committed before; 0 is none
	transferred atomic.Uint64 // the term in which it asked another to lead

	transferring atomic.Int32 // how many ask right now

	queue    chan *proposal
	notify   chan bool // raft's word on who leads
	leaderCh chan bool

	close   func() error
	life    context.Context // ends with Close
	end     context.CancelFunc
	stop    chan struct{} // closed by Close
	halted  chan struct{} // closed when raft has stopped
	stopped chan struct{} // closed when the goroutines have ended
}

// Open starts a server on what cfg.DataDir holds. It returns before there is a leader;
// f may be read at once. A data directory that belongs to another server, or that
// another process uses, is an error.
func Open(cfg Config, f *fsm.FSM) (*Node, error) {
	if cfg.ID == "" {
		return nil, errors.New("a server needs an id")
	}
	st, err := openStorage(&cfg)
	if err != nil {
		return nil, err
	}
	n := newNode(cfg, st)
	if err := n.start(f); err != nil {
		return nil, errors.Join(err, n.transport.close(), st.close())
	}
	return n, nil
}

func newNode(cfg Config, st *storage) *Node {
	n := &Node{
		cfg:      cfg,
		log:      cfg.logger(),
		storage:  st,
		progress: &progress{},
		acks:     &acks{},
		lease:    cfg.lease(),
		queue:    make(chan *proposal, maxBatchCommands),
		notify:   make(chan bool, 8),
		leaderCh: make(chan bool, 1),
		stop:     make(chan struct{}),
		halted:   make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	n.close = sync.OnceValue(n.shutdown)
	n.life, n.end = context.WithCancel(context.Background())
	inner := cfg.Transport
	if inner == nil {
		_, inner = raft.NewInmemTransport(raft.ServerAddress(cfg.Addr))
	}
	n.transport = newTransport(inner, n.acks)
	return n
}

// start starts raft and the goroutines that feed and watch it.
func (n *Node) start(f *fsm.FSM) error {
	conf := n.cfg.raft()
	conf.NotifyCh = n.notify
	st := n.storage
	n.due = newDue(conf)
	local := machine{f, n.progress, n.due}
	known, err := raft.HasExistingState(st.logs, st.stable, st.snapshots)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	if known {
		n.transport.silent = time.Now().Add(n.lease)
	}
	if err := n.recover(conf, local); err != nil {
		return err
	}
	if !known && n.cfg.Bootstrap {
		alone := raft.Configuration{Servers: []raft.Server{{ID: conf.LocalID, Address: n.addr()}}}
		if err := raft.BootstrapCluster(conf, st.logs, st.stable, st.snapshots, n.transport, alone); err != nil {
			return fmt.Errorf("begin a cluster: %w", err)
		}
	}
	n.transport.open()
	if n.raft, err = raft.NewRaft(conf, local, st.logs, st.stable, snapshotStore{st.snapshots}, n.transport.raft()); err != nil {
		return fmt.Errorf("start raft: %w", err)
	}
	servers := n.raft.GetConfiguration().Configuration().Servers
	if err := n.checkMember(servers); err != nil {
		return errors.Join(err, n.raft.Shutdown().Error())
	}
	var tasks sync.WaitGroup
	tasks.Go(n.commitLoop)
	tasks.Go(n.watchLeadership)
	tasks.Go(n.snapshotWhenDue)
	if len(servers) == 1 {
		tasks.Go(n.campaign)
	}
	go func() {
		tasks.Wait()
		close(n.stopped)
	}()
	return nil
}

func (n *Node) addr() raft.ServerAddress {
	if n.cfg.Addr != "" {
		return raft.ServerAddress(n.cfg.Addr)
	}
	return n.transport.LocalAddr()
}

// checkMember refuses a data directory whose cluster does not know this server.
func (n *Node) checkMember(servers []raft.Server) error {
	if len(servers) == 0 {
		return nil // new, and waiting to be added to a cluster
	}
	for _, s := range servers {
		if string(s.ID) == n.cfg.ID {
			return nil
		}
	}
	return fmt.Errorf("data directory %s belongs to server %s, not to %s: set node_id to its id, or use another data directory",
		n.cfg.DataDir, servers[0].ID, n.cfg.ID)
}

// campaign lets a server that is its cluster's only one stand for election at
// once instead of waiting for a leader that cannot exist. It tells raft what a leader
// that goes would say.
func (n *Node) campaign() {
	n.transport.inject(unanswered(&raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax,
		ID:              []byte(n.cfg.ID),
		Addr:            n.transport.EncodePeer(raft.ServerID(n.cfg.ID), n.transport.LocalAddr()),
	}}), n.stop)
}

// watchLeadership keeps term and leaderCh up to date. A server counts as the leader once
// it has applied everything that was committed before it was elected.
func (n *Node) watchLeadership() {
	for {
		select {
		case elected := <-n.notify:
			term := uint64(0)
			if elected {
				term = n.beginTerm()
			}
			n.term.Store(term)
			lead := term > 0
			select {
			case <-n.leaderCh: // nobody has seen it yet
			default:
			}
			n.leaderCh <- lead
		case <-n.stop:
			return
		}
	}
}

// beginTerm brings the local store up to everything that earlier leaders have
// committed, and returns the term; 0 if it was lost meanwhile. An entry without commands does it: other than
// raft's own barrier it reaches the state machine of every server, so that there is an index
// of this term that all of them can wait for.
func (n *Node) beginTerm() uint64 {
	term := n.raft.CurrentTerm()
	if n.settle(n.raft.Apply(fsm.Join(), 0)) != nil || n.raft.CurrentTerm() != term {
		return 0
	}
	return term
}

// Run waits until ctx is done and closes n.
func (n *Node) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-n.stop:
	}
	return n.Close()
}

// Close stops replication and releases the data directory. What was acknowledged is
// on disk. Proposals that wait get ErrNoLeader. Closing again does nothing.
func (n *Node) Close() error { return n.close() }

func (n *Node) shutdown() error {
	n.snapshotAtRest()
	close(n.stop)
	n.end()
	err := n.raft.Shutdown().Error()
	close(n.halted)
	n.term.Store(0)
	<-n.stopped
	return errors.Join(err, n.transport.close(), n.storage.close())
}

func closeTransport(t raft.Transport) error {
	if c, ok := t.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// IsLeader reports whether this server leads and has applied everything that was
// committed before its election.
func (n *Node) IsLeader() bool { return n.leads() != 0 }

// LeaderCh tells one receiver each time that IsLeader may have changed: true when this server
// has become the leader. A change that nobody received is replaced by the next.
func (n *Node) LeaderCh() <-chan bool { return n.leaderCh }

// Leader returns the leader's address and id, both empty if there is none.
func (n *Node) Leader() (addr, id string) {
	a, i := n.raft.LeaderWithID()
	return string(a), string(i)
}

// Peers returns the addresses of the cluster's servers, this one included.
func (n *Node) Peers() []string {
	var addrs []string
	for _, s := range n.raft.GetConfiguration().Configuration().Servers {
		addrs = append(addrs, string(s.Address))
	}
	return addrs
}

// LastContact returns how long ago this server heard of the leader: 0 if it leads, and
// also if it never did, which Leader tells apart.
func (n *Node) LastContact() time.Duration {
	last := n.raft.LastContact()
	if n.raft.State() == raft.Leader || last.IsZero() {
		return 0
	}
	return time.Since(last)
}

// Barrier returns once the local store has applied everything that was proposed before. It
// returns ErrNoLeader if this server does not lead.
func (n *Node) Barrier(ctx context.Context) error {
	return n.wait(ctx, func() raft.Future { return n.raft.Barrier(0) })
}

// wait asks raft and waits for the answer, but not longer than ctx.
func (n *Node) wait(ctx context.Context, ask func() raft.Future) error {
	err := n.await(ctx, ask)
	if ctx.Err() != nil && err == ctx.Err() {
		return errs.Errorf(errs.Unavailable, "no answer from the cluster: %w", err)
	}
	return asUnavailable(err)
}

// asUnavailable gives an error of raft the kind that callers act on.
func asUnavailable(err error) error {
	for _, lost := range []error{
		raft.ErrNotLeader, raft.ErrLeadershipLost, raft.ErrRaftShutdown, raft.ErrLeadershipTransferInProgress,
	} {
		if errors.Is(err, lost) {
			return ErrNoLeader
		}
	}
	if err != nil {
		return errs.Errorf(errs.Unavailable, "the log cannot be written: %w", err)
	}
	return nil
}

// Stats returns raft's figures for operators, such as last_log_index.
func (n *Node) Stats() map[string]string { return n.raft.Stats() }

// SnapshotWhen changes when snapshots are due, as the fields of Config of the
// same names say.
func (n *Node) SnapshotWhen(threshold uint64, interval time.Duration, trailing uint64) error {
	c := n.cfg
	c.SnapshotThreshold, c.SnapshotInterval, c.TrailingLogs = threshold, interval, trailing
	r := c.raft()
	n.due.set(r.SnapshotThreshold, r.SnapshotInterval)
	return n.raft.ReloadConfig(raft.ReloadableConfig{
		TrailingLogs: r.TrailingLogs, SnapshotInterval: r.SnapshotInterval, SnapshotThreshold: r.SnapshotThreshold,
		HeartbeatTimeout: r.HeartbeatTimeout, ElectionTimeout: r.ElectionTimeout,
	})
}

// Snapshot writes a snapshot now. With nothing new since the last one it does nothing.
func (n *Node) Snapshot() error {
	err := n.raft.Snapshot().Error()
	if errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}
