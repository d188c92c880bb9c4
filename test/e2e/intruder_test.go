package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/ca"
)

// TestIntruders brings to one cluster what it has to refuse, and says why each
// was refused.
func TestIntruders(t *testing.T) {
	c := newCluster(t, 3, 8)
	for i, story := range []struct {
		name string
		run  func(*testing.T, *cluster, *host)
	}{
		{"an agent with another gossip key stays out and joins later with the right one", otherGossipKey},
		{"a server with a certificate of another datacenter is not let in", otherDatacenter},
		{"a client certificate opens nothing that only servers may do", clientCertificate},
		{"an agent whose token was revoked gets no certificate", revokedAgent},
		{"a server with a cluster of its own is not added", ownCluster},
		{"a copy of a server's data directory is not another server", copiedData},
		{"a data directory of another node is refused and left as it is", otherNode},
		{"a server that would begin a second cluster becomes part of the first", secondBootstrap},
	} {
		t.Run(story.name, func(t *testing.T) { story.run(t, c, c.agents[i]) })
	}
}

// member returns how the first server sees a member; "" if it does not.
func (c *cluster) member(name string) (string, error) {
	members, err := c.servers[0].api().Agent().Members(false)
	if err != nil {
		return "", err
	}
	for _, m := range members {
		if m.Name == name {
			return m.Addr, nil
		}
	}
	return "", nil
}

// awaitMember returns once the first server sees a host.
func (c *cluster) awaitMember(t *testing.T, h *host) {
	t.Helper()
	err := every(20*time.Millisecond, func(context.Context) error {
		addr, err := c.member(h.name)
		if err == nil && addr != h.addr() {
			err = fmt.Errorf("%s is no member", h.name)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, h.running().log())
	}
}

// outsider fails if the cluster sees a host.
func (c *cluster) outsider(t *testing.T, h *host) {
	t.Helper()
	switch addr, err := c.member(h.name); {
	case err != nil:
		t.Fatal(err)
	case addr != "":
		t.Errorf("%s is a member", h.name)
	}
}

// replicating returns the addresses of the servers that replicate.
func (c *cluster) replicating(t *testing.T) []string {
	t.Helper()
	raft, err := c.servers[0].api().Operator().RaftGetConfiguration(nil)
	if err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for _, s := range raft.Servers {
		addrs = append(addrs, s.Address)
	}
	slices.Sort(addrs)
	return addrs
}

// saysWhy waits until the agent of a host has said something.
func (h *host) saysWhy(t *testing.T, text string) {
	t.Helper()
	if err := h.running().waitFor(text); err != nil {
		t.Fatal(err)
	}
}

func otherGossipKey(t *testing.T, c *cluster, h *host) {
	right := c.key
	token := c.agentToken(h)
	c.key = newGossipKey()
	c.writeAgent(h, token, "")
	c.key = right
	if _, err := h.launch(); err != nil {
		t.Fatal(err)
	}
	h.saysWhy(t, "gossip key is not one of this agent's")
	c.outsider(t, h)
	if _, err := os.Stat(filepath.Join(h.dir, "data", "serf", "local.keyring")); err == nil {
		t.Error("a key that did not work is kept")
	}
	h.kill()
	c.writeAgent(h, token, "")
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	c.awaitMember(t, h)
}

func otherDatacenter(t *testing.T, c *cluster, h *host) {
	before := c.replicating(t)
	c.writeServer(h, "dc2", 3)
	if _, err := h.launch(); err != nil {
		t.Fatal(err)
	}
	err := every(20*time.Millisecond, func(context.Context) error {
		for _, server := range c.servers {
			if strings.Contains(server.running().log(), "server.dc2.consul") {
				return nil
			}
		}
		return fmt.Errorf("no server says why it refuses %s", h.name)
	})
	if err != nil {
		t.Error(err)
	}
	if now := c.replicating(t); !slices.Equal(now, before) {
		t.Errorf("the servers that replicate are now %v", now)
	}
	h.kill()
}

func clientCertificate(t *testing.T, c *cluster, h *host) {
	pair, err := c.authority.Client(ca.ClientNames{Datacenter: "dc1", Domain: "consul"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	own, err := tls.X509KeyPair(pair.Cert, []byte(pair.Key.Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"raft", "h2"} {
		var raw net.Conn
		err = c.network.on(h.number, func() error {
			raw, err = net.Dial("tcp", net.JoinHostPort(c.servers[0].addr(), "8300"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		_ = raw.SetDeadline(time.Now().Add(patience))
		conn := tls.Client(raw, &tls.Config{
			Certificates: []tls.Certificate{own}, NextProtos: []string{protocol}, ServerName: "server.dc1.consul",
			InsecureSkipVerify: true, // who the server is does not matter here
		})
		err = conn.Handshake()
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		_ = conn.Close()
		if protocol == "raft" && err == nil {
			t.Error("a client agent may replicate")
		}
		if protocol == "h2" && err != nil {
			t.Errorf("a client agent may not send requests: %v", err)
		}
	}
}

func revokedAgent(t *testing.T, c *cluster, h *host) {
	token := c.agentToken(h)
	status, answer, err := c.servers[1].ask(context.Background(), http.MethodGet, "/v1/acl/token/self", token, "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("status %d: %s: %v", status, answer, err)
	}
	self, _, err := c.servers[0].api().ACL().TokenReadSelf(&api.QueryOptions{Token: token})
	if err == nil {
		_, err = c.servers[0].api().ACL().TokenDelete(self.AccessorID, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.writeAgent(h, token, "")
	if _, err := h.launch(); err != nil {
		t.Fatal(err)
	}
	h.saysWhy(t, "ACL not found")
	c.outsider(t, h)
	h.kill()
	c.writeAgent(h, c.agentToken(h), "")
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	c.awaitMember(t, h)
}

func secondBootstrap(t *testing.T, c *cluster, h *host) {
	c.writeServer(h, "dc1", 1)
	if _, err := h.launch(); err != nil {
		t.Fatal(err)
	}
	h.saysWhy(t, "is part of a cluster already, so bootstrap has no effect")
	if err := h.answers(); err != nil { // added to the cluster, it knows the cluster's tokens
		t.Fatal(err)
	}
	if got := c.replicating(t); !slices.Contains(got, net.JoinHostPort(h.addr(), "8300")) {
		t.Errorf("the servers that replicate are %v, %s is not among them", got, h.addr())
	}
}

// ownCluster has a server with the data of a cluster of its own join another one.
func ownCluster(t *testing.T, c *cluster, h *host) {
	all := c.servers
	c.servers = []*host{h}
	c.writeServer(h, "dc1", 1)
	c.servers = all
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.kill()
	before := c.replicating(t)
	c.writeServer(h, "dc1", 3)
	if _, err := h.launch(); err != nil {
		t.Fatal(err)
	}
	h.saysWhy(t, "is part of another cluster and is not added to this one")
	if now := c.replicating(t); !slices.Equal(now, before) {
		t.Errorf("the servers that replicate are now %v", now)
	}
	h.kill()
}

func copiedData(t *testing.T, c *cluster, h *host) {
	before := c.replicating(t)
	c.writeServer(h, "dc1", 3)
	from := c.servers[2]
	from.kill()
	if err := os.CopyFS(filepath.Join(h.dir, "data"), os.DirFS(filepath.Join(from.dir, "data"))); err != nil {
		t.Fatal(err)
	}
	if err := from.start(); err != nil {
		t.Fatal(err)
	}
	if err := from.answers(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.launch(); err != nil {
		t.Fatal(err)
	}
	h.saysWhy(t, "another agent has this one's node id")
	c.outsider(t, h)
	if now := c.replicating(t); !slices.Equal(now, before) {
		t.Errorf("the servers that replicate are now %v", now)
	}
	if strings.Contains(h.running().log(), "cluster leadership acquired") {
		t.Error("the copy leads")
	}
	h.kill()
}

func otherNode(t *testing.T, c *cluster, h *host) {
	from := c.servers[2]
	from.kill()
	refused, err := from.launch("-node-id", "6a407fca-6a84-466f-9e34-00b004976f47")
	if err != nil {
		t.Fatal(err)
	}
	from.saysWhy(t, "belongs to server")
	select {
	case <-refused.done:
	case <-time.After(patience):
		t.Fatal("the server goes on")
	}
	if refused.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit code %d, want 1", refused.cmd.ProcessState.ExitCode())
	}
	if err := from.start(); err != nil {
		t.Fatal(err)
	}
	if err := from.answers(); err != nil {
		t.Fatal(err)
	}
}
