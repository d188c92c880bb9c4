package gossip

import (
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/hashicorp/serf/serf"
)

func serfMembers(tags map[string]string) []*serf.Member {
	return []*serf.Member{{Name: "x", Addr: net.IPv4(10, 0, 0, 4), Port: 8301, Status: serf.StatusAlive, Tags: tags}}
}

func TestTagsAreReadAsTheyWereSent(t *testing.T) {
	tests := []struct {
		name string
		tags Tags
		some map[string]string // of what is sent
	}{
		{
			"a server", Tags{
				NodeID: "id", Datacenter: "dc1", Partition: "default", Server: true, Build: "1.2.3:", ACLs: true, Expect: 3,
				UseTLS: true, ServerPort: 8300, GRPCPort: 8502, GRPCTLSPort: 8503, WANJoinPort: 8302,
			},
			map[string]string{
				"role": "consul", "acls": "1", "expect": "3", "build": "1.2.3:", "port": "8300", "grpc_port": "8502", "grpc_tls_port": "8503",
				"wan_join_port": "8302", "raft_vsn": "3", "use_tls": "1", "ft_fs": "1", "ft_si": "1", "vsn": "2", "vsn_min": "2", "vsn_max": "3", "ap": "default",
			},
		},
		{
			"a server alone", Tags{Datacenter: "dc1", Partition: "default", Server: true, Build: "1:", Bootstrap: true, ServerPort: 8300},
			map[string]string{"bootstrap": "1", "acls": "0"},
		},
		{
			"a client agent", Tags{NodeID: "id", Datacenter: "dc1", Partition: "web", Segment: "s", Build: "1:", ReconnectTimeout: 15 * time.Minute},
			map[string]string{"role": "node", "rc_tm": "15m0s", "ap": "web", "segment": "s"},
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			sent := tc.tags.encode()
			if got := parseTags(sent); !reflect.DeepEqual(got, tc.tags) {
				t.Errorf("got  %+v\nwant %+v", got, tc.tags)
			}
			for key, want := range tc.some {
				if sent[key] != want {
					t.Errorf("%s is %q, want %q", key, sent[key], want)
				}
			}
		})
	}
}

func TestTagsWithoutMeaningAreLeftOut(t *testing.T) {
	client := Tags{Server: false}.encode()
	for _, key := range []string{"port", "expect", "bootstrap", "acls", "rc_tm", "raft_vsn", "use_tls"} {
		if v, ok := client[key]; ok {
			t.Errorf("a client agent says %s=%s", key, v)
		}
	}
	got := parseTags(map[string]string{
		"port": "99999", "grpc_port": "-1", "expect": "-3", "rc_tm": "-5m", "role": "king", "bootstrap": "yes", "wan_join_port": "x",
	})
	if want := (Tags{Partition: "default"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyClientAgentsChooseWhenTheyAreForgotten(t *testing.T) {
	for _, c := range []struct {
		tags map[string]string
		want time.Duration
	}{
		{map[string]string{"role": "node", "rc_tm": "15m0s"}, 15 * time.Minute},
		{map[string]string{"role": "consul", "rc_tm": "1s"}, time.Hour},
		{map[string]string{"role": "node", "rc_tm": "soon"}, time.Hour},
		{nil, time.Hour},
	} {
		if got := (reconnect{}).ReconnectTimeout(serfMembers(c.tags)[0], time.Hour); got != c.want {
			t.Errorf("%v: %v, want %v", c.tags, got, c.want)
		}
	}
}

// FuzzMember reads what a hostile member sends.
func FuzzMember(f *testing.F) {
	f.Add("consul", "8300", "3", "15m", "web", "dc1")
	f.Add("node", "70000", "-1", "1e9h", "A\n", "")
	f.Fuzz(func(t *testing.T, role, port, expect, timeout, partition, dc string) {
		m := serfMembers(map[string]string{"role": role, "port": port, "expect": expect, "rc_tm": timeout, "ap": partition, "dc": dc})
		member := newMember(*m[0])
		if member.Expect < 0 || member.Server && member.Partition != "default" {
			t.Errorf("%+v", member)
		}
		if member.ServerAddr != "" {
			if _, _, err := net.SplitHostPort(member.ServerAddr); err != nil {
				t.Error(err)
			}
		}
		if (&merge{datacenter: "dc1"}).NotifyMerge(m) == nil && (dc != "dc1" || parseTags(m[0].Tags).Partition == "") {
			t.Error("merged with a stranger")
		}
	})
}
