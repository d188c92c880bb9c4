package gossip

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// patience bounds every wait. Nothing takes nearly as long on a machine that works.
const patience = 30 * time.Second

// node is a member inside the test, with everything that it heard of.
type node struct {
	*Gossip
	t    testing.TB
	cfg  Config
	log  *record
	stop func()

	mu     sync.Mutex
	heard  []Event
	told   map[string]bool // what was sent with Tell
	change chan struct{}   // closed and replaced with each event
}

// record is a log that can be read while it is written.
type record struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

// start opens a client agent of the given name on a free port of loopback.
func start(t testing.TB, name string, change ...func(*Config)) *node {
	t.Helper()
	cfg := Config{
		NodeName: name, NodeID: "id-of-" + name, Datacenter: "dc1", BindAddr: "127.0.0.1",
		VerifyIncoming: true, VerifyOutgoing: true, Fast: true,
	}
	for _, c := range change {
		c(&cfg)
	}
	return startWith(t, cfg)
}

func startWith(t testing.TB, cfg Config) *node {
	t.Helper()
	n := &node{t: t, log: &record{}, told: map[string]bool{}, change: make(chan struct{})}
	cfg.Log = slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	listening := cfg
	if cfg.Heard == nil {
		listening.Heard = n.hear
	}
	g, err := Open(listening)
	if err != nil && cfg.Port > 0 && strings.Contains(err.Error(), "address already in use") {
		eventually(t, "the port of before is free", func() bool { // the system may have lent it to somebody
			g, err = Open(listening)
			return err == nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg.Port = int(g.Addr().Port())
	n.Gossip, n.cfg = g, cfg
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = g.Run(ctx) })
	tasks.Go(func() { n.listen(ctx) })
	n.stop = sync.OnceFunc(func() {
		cancel()
		tasks.Wait()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func (n *node) listen(ctx context.Context) {
	for {
		select {
		case e := <-n.Events():
			n.mu.Lock()
			n.heard = append(n.heard, e)
			close(n.change)
			n.change = make(chan struct{})
			n.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

func (n *node) hear(text []byte, _ uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told[string(text)] = true
}

// restart stops n as a crash does and starts it at the same address.
func (n *node) restart(change ...func(*Config)) *node {
	n.t.Helper()
	n.stop()
	cfg := n.cfg
	for _, c := range change {
		c(&cfg)
	}
	return startWith(n.t, cfg)
}

// all returns what n heard so far.
func (n *node) all() []Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.heard)
}

// expect waits until n has heard of the event, after the first skip events, and
// returns how many n has heard of up to it.
func (n *node) expect(skip int, what EventType, name string) int {
	n.t.Helper()
	deadline := time.After(patience)
	for {
		n.mu.Lock()
		for i, e := range n.heard[skip:] {
			if e.Type == what && e.Member.Name == name {
				n.mu.Unlock()
				return skip + i + 1
			}
		}
		change := n.change
		n.mu.Unlock()
		select {
		case <-change:
		case <-deadline:
			n.t.Fatalf("%s has not heard %s of %s: %v\n%s", n.cfg.NodeName, what, name, n.all(), n.log)
		}
	}
}

// join makes n a member of each cluster. A machine may be too busy to answer in time: it asks again then.
func (n *node) join(others ...*node) {
	n.t.Helper()
	for _, other := range others {
		eventually(n.t, fmt.Sprintf("%s joins %s", n.cfg.NodeName, other.cfg.NodeName), func() bool {
			count, err := n.Join(context.Background(), []string{other.Addr().String()})
			return err == nil && count == 1
		})
		other.expect(0, Join, n.cfg.NodeName)
	}
}

// staysOut tries to join other until it is told why it cannot: for one of the reasons.
func (n *node) staysOut(other *node, reasons ...string) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%s hears %q", n.cfg.NodeName, reasons), func() bool {
		_, err := n.Join(context.Background(), []string{other.Addr().String()})
		if err == nil {
			n.t.Fatalf("%s joined", n.cfg.NodeName)
		}
		return slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(err.Error(), r) })
	})
}

// statuses returns "name status" of every member that n sees.
func (n *node) statuses() string {
	var list []string
	for _, m := range n.Members() {
		list = append(list, m.Name+" "+m.Status.String())
	}
	return strings.Join(list, ", ")
}

// sees waits until n sees members and their statuses: a member that was not given time for a while counts as failed
// until it has answered.
func (n *node) sees(want string) {
	n.t.Helper()
	eventually(n.t, n.cfg.NodeName+" sees "+want, func() bool { return n.statuses() == want })
}

func asServer(c *Config) {
	c.Server = true
	c.Tags.ServerPort = 8300
}

func withKey(key logging.Secret) func(*Config) { return func(c *Config) { c.Key = key } }

func in(dir string) func(*Config) { return func(c *Config) { c.DataDir = dir } }

func newKey() logging.Secret {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return logging.Secret(base64.StdEncoding.EncodeToString(key))
}

// eventually waits for what nothing reports.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAMemberFailsComesBackAndLeaves(t *testing.T) {
	t.Parallel()
	server := start(t, "server", asServer)
	client := start(t, "client", in(t.TempDir()))
	client.join(server)
	at := server.expect(0, Join, "client")
	client.stop()
	at = server.expect(at, Fail, "client")
	server.sees("client failed, server alive")
	again := client.restart() // it finds the server in its snapshot
	at = server.expect(at, Join, "client")
	again.expect(0, Join, "server")
	if err := again.Leave(); err != nil {
		t.Fatal(err)
	}
	server.expect(at, Leave, "client")
	server.sees("client left, server alive")
}

func TestALeaveDuringAJoinIsNoFailure(t *testing.T) {
	t.Parallel()
	server := start(t, "server", asServer)
	for i := range 5 {
		name := fmt.Sprintf("client%d", i)
		client := start(t, name)
		joined := make(chan struct{})
		go func() {
			defer close(joined)
			client.join(server)
		}()
		at := server.expect(0, Join, name)
		if err := client.Leave(); err != nil {
			t.Fatal(err)
		}
		server.expect(at, Leave, name)
		<-joined
		client.stop()
	}
}

func TestForceLeave(t *testing.T) {
	t.Parallel()
	server := start(t, "server", asServer)
	client := start(t, "client")
	client.join(server)
	if err := server.ForceLeave("nope", false); errs.KindOf(err) != errs.NotFound || err.Error() != "agent: No node found with name 'nope'" {
		t.Errorf("an unknown name: %v", err)
	}
	client.stop()
	at := server.expect(0, Fail, "client")
	if err := server.ForceLeave("client", false); err != nil {
		t.Fatal(err)
	}
	at = server.expect(at, Leave, "client")
	server.sees("client left, server alive")
	if err := server.ForceLeave("client", true); err != nil {
		t.Fatal(err)
	}
	server.expect(at, Reap, "client")
	server.sees("server alive")
}

func TestAMemberOfAnotherDatacenterStaysOut(t *testing.T) {
	t.Parallel()
	here := start(t, "here")
	there := start(t, "there", func(c *Config) { c.Datacenter = "dc2" })
	there.staysOut(here, "Member 'here' part of wrong datacenter 'dc1'", "Member 'there' part of wrong datacenter 'dc2'")
	if here.statuses() != "here alive" || there.statuses() != "there alive" {
		t.Errorf("%s; %s", here.statuses(), there.statuses())
	}
}

func TestClientAgentsSeeServersAndTheirPartition(t *testing.T) {
	t.Parallel()
	of := func(p string) func(*Config) { return func(c *Config) { c.Partition = p } }
	server := start(t, "server", asServer)
	first, second, third := start(t, "a1", of("a")), start(t, "b1", of("b")), start(t, "a2", of("a"))
	first.join(server)
	second.join(server)
	third.join(server)
	first.expect(0, Join, "a2")
	second.expect(0, Join, "server")
	for _, c := range []struct {
		n    *node
		want string
	}{
		{server, "a1 alive, a2 alive, b1 alive, server alive"},
		{first, "a1 alive, a2 alive, server alive"},
		{second, "b1 alive, server alive"},
	} {
		c.n.sees(c.want)
	}
	for _, e := range first.all() {
		if e.Member.Name == "b1" {
			t.Errorf("a1 heard of b1: %v", e)
		}
	}
	if err := second.ForceLeave("a1", false); errs.KindOf(err) != errs.NotFound {
		t.Errorf("b1 knows a1: %v", err)
	}
}

func TestMergeRefuses(t *testing.T) {
	tests := []struct {
		name string
		tags map[string]string
		want string
	}{
		{"a member of this datacenter", map[string]string{"dc": "dc1"}, ""},
		{"one of another", map[string]string{"dc": "dc2"}, "Member 'x' part of wrong datacenter 'dc2'"},
		{"one that says nothing", nil, "Member 'x' part of wrong datacenter ''"},
		{"a partition that cannot be", map[string]string{"dc": "dc1", "ap": "A B"}, "Member 'x' part of wrong partition"},
		{"a server in a partition", map[string]string{"dc": "dc1", "ap": "a", "role": "consul"}, "Member 'x' is a server in partition 'a'"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			err := (&merge{datacenter: "dc1"}).NotifyMerge(serfMembers(tc.tags))
			if got := fmt.Sprint(err); (err == nil) != (tc.want == "") || !strings.Contains(got, tc.want) && err != nil {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestCoordinates(t *testing.T) {
	t.Parallel()
	server := start(t, "server", asServer)
	client := start(t, "client")
	client.join(server)
	var list []NodeCoordinate
	eventually(t, "both are measured", func() bool {
		list = server.Coordinates()
		return len(list) == 2
	})
	if list[0].Node != "client" || list[0].Partition != "default" || len(list[0].Coord.Vec) != 8 || list[1].Node != "server" {
		t.Errorf("%+v", list)
	}
	if _, ok := server.Coordinate("nope"); ok {
		t.Error("an unknown node has a coordinate")
	}
}

func TestAReaderThatIsSlowHearsTheLastOfEachMember(t *testing.T) {
	var q queue
	event := func(what EventType, name string) []Event { return []Event{{what, Member{Name: name}}} }
	q.add(event(Leave, "c"))
	q.add(event(Join, "a"))
	q.add(event(Join, "b"))
	q.add(event(Fail, "a"))
	q.add(event(Update, "b"))
	q.add(event(Join, "a"))
	q.add(event(Update, "c"))
	var got []string
	for len(q) > 0 {
		_, e := q.next(nil)
		got = append(got, e.Type.String()+" "+e.Member.Name)
		q.drop()
	}
	if fmt.Sprint(got) != "[join b join a update c]" {
		t.Error(got)
	}
}

func TestSelfAndStats(t *testing.T) {
	t.Parallel()
	n := start(t, "n1", asServer, func(c *Config) { c.Tags.Expect = 3 })
	self := n.Self()
	if !self.Server || self.ServerAddr != "127.0.0.1:8300" || self.Expect != 3 || self.ID != "id-of-n1" ||
		self.Status != Alive || self.Port != n.Addr().Port() || self.Tags["role"] != "consul" {
		t.Errorf("%+v", self)
	}
	if stats := n.Stats(); stats["members"] != "1" || stats["encrypted"] != "false" || n.Encrypted() {
		t.Errorf("%v", stats)
	}
	if !strings.Contains(n.log.String(), "serf: EventMemberJoin: n1 127.0.0.1") {
		t.Errorf("the log: %s", n.log)
	}
}

func TestOpenFailsWhereThePortIsTaken(t *testing.T) {
	t.Parallel()
	n := start(t, "n1")
	cfg := n.cfg
	cfg.NodeName = "n2"
	if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

func TestLeaveEndsJoining(t *testing.T) {
	t.Parallel()
	n := start(t, "n1")
	if err := n.Leave(); err != nil {
		t.Fatal(err)
	}
	_, err := n.Join(context.Background(), []string{"127.0.0.1:1"})
	var failures Errors
	if !errors.As(err, &failures) {
		t.Errorf("got %v", err)
	}
}
