package config

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func machine(addrs ...string) Host {
	return Host{Addrs: func() ([]Addr, error) {
		var all []Addr
		for _, a := range addrs {
			name, ip, _ := strings.Cut(a, "=")
			all = append(all, Addr{name, netip.MustParseAddr(ip)})
		}
		return all, nil
	}}
}

func TestTemplates(t *testing.T) {
	h := machine("eth0=52.1.2.3", "eth1=fd00::5", "eth1=10.0.0.5", "eth2=2001:db8::1", "cg=100.64.0.9")
	for _, tc := range []struct{ in, want, err string }{
		{"10.1.1.1", "10.1.1.1", ""},
		{"{{ GetPrivateIP }}", "10.0.0.5", ""},
		{"{{GetPrivateIP}}", "10.0.0.5", ""},
		{`{{ GetInterfaceIP "eth0" }}`, "52.1.2.3", ""},
		{`{{ GetInterfaceIP "eth2" }}`, "2001:db8::1", ""},
		{`{{ GetInterfaceIP "eth0" }} {{ GetPrivateIP }} 127.0.0.1`, "52.1.2.3 10.0.0.5 127.0.0.1", ""},
		{`{{ GetInterfaceIP "nope" }}`, "", "no such address"},
		{`{{ GetInterfaceIP eth0 }}`, "", "only GetPrivateIP and"},
		{`{{ GetAllInterfaces | include "name" "eth0" }}`, "", "only GetPrivateIP and"},
		{`{{ GetPrivateIP`, "", "unbalanced braces"},
		{`{{{ GetPrivateIP }}}`, "{10.0.0.5}", ""},
	} {
		got, err := h.expand(tc.in)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: got %q, %v; want %q, %q", tc.in, got, err, tc.want, tc.err)
		}
	}
}

func TestWhatIsWrongInFilesIsSaidBeforeWhatTheMachineLacks(t *testing.T) {
	s := sources(t, "-data-dir=/d", "-node=n", "-bootstrap")
	s.Host = machine("lo=127.0.0.1")
	if _, _, err := Load(s); err == nil || err.Error() != "'bootstrap = true' requires 'server = true'" {
		t.Error(err)
	}
}

func TestAdvertisedAddress(t *testing.T) {
	for _, tc := range []struct {
		name string
		host Host
		want string
	}{
		{"one private address", machine("eth0=10.0.0.5", "eth0=52.1.2.3", "eth0=fd00::5"), "10.0.0.5"},
		{"a shared one", machine("eth0=100.64.3.4"), "100.64.3.4"},
		{"several", machine("eth0=10.0.0.5", "eth1=10.0.1.5"), "Multiple private IPv4 addresses found. Please configure one with 'bind' and/or 'advertise'."},
		{"none", machine("lo=127.0.0.1"), "No private IPv4 address found. Please configure one with 'bind' and/or 'advertise'."},
		{"no answer", Host{Addrs: func() ([]Addr, error) { return nil, errors.New("netlink is gone") }}, "netlink is gone"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := sources(t, "-data-dir=/d", "-node=n")
			s.Host = tc.host
			c, _, err := Load(s)
			got := c.AdvertiseAddr
			if err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestListenersAndJoinEntries(t *testing.T) {
	s := sources(t, "-data-dir=/d", "-client", `{{ GetPrivateIP }} ::1`, "-hcl", `addresses { http = "unix:///tmp/x.sock 127.0.0.1" }`,
		"-retry-join", `{{ GetInterfaceIP "eth0" }}:8301`, "-retry-join", "provider=aws tag_key=a tag_value=b")
	c, _, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.ClientAddrs, []string{"10.0.3.17", "::1"}) || !slices.Equal(c.Addresses.HTTP, []string{"unix:///tmp/x.sock", "127.0.0.1"}) {
		t.Errorf("client_addr %q, addresses.http %q", c.ClientAddrs, c.Addresses.HTTP)
	}
	if !slices.Equal(c.RetryJoin, []string{"10.0.3.17:8301", "provider=aws tag_key=a tag_value=b"}) {
		t.Errorf("retry_join %q", c.RetryJoin)
	}
}

func TestTheRealMachineAnswers(t *testing.T) {
	if _, err := (Host{}).addrs(); err != nil {
		t.Error(err)
	}
	if name, err := (Host{}).name(); err != nil || name == "" {
		t.Errorf("host name %q, %v", name, err)
	}
}
