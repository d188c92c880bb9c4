package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// closedAddr is an address of loopback where nobody listens: the system lends its port to nobody.
const closedAddr = "127.0.0.1:1"

func TestJoinTriesEveryAddressOfAName(t *testing.T) {
	t.Parallel()
	server := start(t, "server", asServer)
	client := start(t, "client", func(c *Config) {
		c.LookupIP = func(_ context.Context, name string) ([]netip.Addr, error) {
			if name != "servers.example" {
				return nil, fmt.Errorf("lookup %s: no such host", name)
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.99"), netip.MustParseAddr("::ffff:127.0.0.1")}, nil
		}
	})
	n, err := client.Join(t.Context(), []string{fmt.Sprintf("servers.example:%d", server.Addr().Port())})
	if err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	server.expect(0, Join, "client")
	_, err = client.Join(t.Context(), []string{"nobody.example", closedAddr, ""})
	text := fmt.Sprint(err)
	if !strings.HasPrefix(text, "3 errors occurred:\n\t* Failed to resolve nobody.example: lookup nobody.example: no such host\n") ||
		!strings.Contains(text, "\t* Failed to join 127.0.0.1:") || !strings.Contains(text, "connection refused") || !strings.HasSuffix(text, "\n\n") {
		t.Errorf("%q", text)
	}
}

func TestJoinOfItselfAlone(t *testing.T) {
	t.Parallel()
	n := start(t, "n1")
	self, closed := n.Addr().String(), closedAddr
	for _, c := range []struct {
		name  string
		addrs []string
		want  int
	}{
		{"it is all there is", []string{self}, 1},
		{"it is named twice", []string{self, self}, 1},
		{"another is not there", []string{self, closed}, 0},
		{"nobody", nil, 0},
	} {
		got, err := n.Join(t.Context(), c.addrs)
		if got != c.want || (err != nil) != (len(c.addrs) == 2 && c.want == 0) {
			t.Errorf("%s: %d, %v", c.name, got, err)
		}
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	n := start(t, "n1")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := mute.Accept(); err == nil {
			defer conn.Close()
			cancel()
			<-t.Context().Done()
		}
	}()
	if _, err := n.Join(ctx, []string{mute.Addr().String()}); err == nil || !strings.Contains(err.Error(), "context canceled") {
		t.Errorf("got %v", err)
	}
}

func TestSplitAddr(t *testing.T) {
	for _, c := range []struct {
		addr, host string
		port       uint16 // 0 is an error
	}{
		{"10.0.0.1", "10.0.0.1", 8401},
		{"10.0.0.1:8301", "10.0.0.1", 8301},
		{"::1", "::1", 8401},
		{"[::1]", "::1", 8401},
		{"[::1]:8301", "::1", 8301},
		{"consul.example.com", "consul.example.com", 8401},
		{"consul.example.com:8301", "consul.example.com", 8301},
		{"", "", 0},
		{":8301", "", 0},
		{"a:0", "", 0},
		{"a:99999", "", 0},
		{"a:b:c", "", 0},
	} {
		host, port, err := splitAddr(c.addr, 8401)
		if host != c.host || port != c.port || (err != nil) != (c.port == 0) {
			t.Errorf("%q: %q %d %v", c.addr, host, port, err)
		}
	}
}

func FuzzSplitAddr(f *testing.F) {
	for _, addr := range []string{"10.0.0.1", "[::1]:8301", "consul.example.com:8301", "a:b:c", ":1", "fe80::1%eth0"} {
		f.Add(addr)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		host, port, err := splitAddr(addr, 8301)
		if err == nil && (host == "" || port == 0) {
			t.Errorf("%q: %q %d", addr, host, port)
		}
	})
}

func TestRetryJoinTriesUntilSomebodyIsThere(t *testing.T) {
	t.Parallel()
	server := start(t, "server", asServer)
	asked := 0
	client := start(t, "client", func(c *Config) {
		c.Discover = func(_ context.Context, entry string) ([]string, error) {
			if asked++; entry != "provider=aws tag_key=role" {
				return nil, errors.New("discover: unknown provider")
			}
			switch asked {
			case 1:
				return nil, errors.New("throttled")
			case 2:
				return []string{closedAddr}, nil
			}
			return []string{server.Addr().String()}, nil
		}
	})
	if err := client.RetryJoin(t.Context(), []string{"provider=aws tag_key=role"}, time.Millisecond, 0); err != nil {
		t.Fatal(err)
	}
	server.expect(0, Join, "client")
	from := 0
	for _, want := range []string{
		`msg="Joining cluster..." cluster=LAN`,
		`level=ERROR msg="Cannot discover address" cluster=LAN address="provider=aws" error=throttled`,
		`level=WARN msg="Join cluster failed, will retry" cluster=LAN retry_interval=1ms error="No servers to join"`,
		`msg="(LAN) joining" lan_addresses=`,
		`level=WARN msg="(LAN) couldn't join" number_of_nodes=0 error="1 error occurred:`,
		`level=WARN msg="Join cluster failed, will retry"`,
		`msg="(LAN) joined" number_of_nodes=1`,
		`msg="Join cluster completed. Synced with initial agents" cluster=LAN num_agents=1`,
	} {
		i := strings.Index(client.log.String()[from:], want)
		if i < 0 {
			t.Fatalf("no %s after byte %d of\n%s", want, from, client.log)
		}
		from += i
	}
}

func TestRetryJoinEnds(t *testing.T) {
	t.Parallel()
	n := start(t, "n1")
	closed := []string{closedAddr}
	if err := n.RetryJoin(t.Context(), closed, time.Millisecond, 2); err == nil || err.Error() != "agent: max join LAN retry exhausted, exiting" {
		t.Errorf("after two retries: %v", err)
	}
	if got := strings.Count(n.log.String(), "couldn't join"); got != 3 {
		t.Errorf("it tried %d times", got)
	}
	if err := n.RetryJoin(t.Context(), []string{"provider=bogus"}, time.Millisecond, 1); err == nil ||
		!strings.Contains(n.log.String(), `error="discover: unknown provider bogus"`) {
		t.Errorf("with an unknown provider: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.RetryJoin(ctx, closed, time.Hour, 0); err != nil {
		t.Errorf("after the end: %v", err)
	}
	if err := n.RetryJoin(t.Context(), nil, time.Hour, 1); err != nil {
		t.Errorf("with nobody to join: %v", err)
	}
}

func TestAgentsOfOtherNetworksAreKeptOut(t *testing.T) {
	t.Parallel()
	closed := start(t, "closed", asServer, func(c *Config) {
		c.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	})
	stranger := start(t, "stranger", func(c *Config) { c.BindAddr = "127.0.0.2" })
	friend := start(t, "friend")
	for _, n := range []*node{stranger, friend} {
		if _, err := n.Join(t.Context(), []string{closed.Addr().String()}); err != nil {
			t.Fatal(err) // a member of another network hears this one, and is not listened to
		}
	}
	closed.expect(0, Join, "friend")
	for _, m := range closed.Members() {
		if m.Name == "stranger" {
			t.Error("an agent of another network is a member")
		}
	}
}
