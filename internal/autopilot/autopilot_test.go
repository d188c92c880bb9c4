package autopilot

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestConfigJSON(t *testing.T) {
	const defaults = `{"CleanupDeadServers":true,"LastContactThreshold":"200ms","MaxTrailingLogs":250,"MinQuorum":0,` +
		`"ServerStabilizationTime":"10s","RedundancyZoneTag":"","DisableUpgradeMigration":false,"UpgradeVersionTag":"",` +
		`"CreateIndex":0,"ModifyIndex":0}`
	if got, err := json.Marshal(Default()); err != nil || string(got) != defaults {
		t.Errorf("got %s, %v\nwant %s", got, err, defaults)
	}
	tests := []struct {
		name, body string
		change     func(*Config) // of the defaults
		err        string
	}{
		{"nothing", `{}`, func(*Config) {}, ""},
		{"everything", strings.Replace(defaults, `"MinQuorum":0`, `"MinQuorum":3`, 1), func(c *Config) { c.MinQuorum = 3 }, ""},
		{"some keys keep the rest", `{"CleanupDeadServers":false,"ServerStabilizationTime":"1m30s"}`, func(c *Config) {
			c.CleanupDeadServers, c.ServerStabilizationTime = false, 90*time.Second
		}, ""},
		{"nanoseconds", `{"LastContactThreshold":1000000000}`, func(c *Config) { c.LastContactThreshold = time.Second }, ""},
		{"no duration", `{"LastContactThreshold":"soon"}`, nil, `invalid duration "soon"`},
		{"an unknown key", `{"Bogus":1}`, nil, `unknown field "Bogus"`},
		{"a number below zero", `{"MaxTrailingLogs":-1}`, nil, "cannot unmarshal number -1"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := Default()
			err := json.Unmarshal([]byte(tc.body), &got)
			if tc.change == nil {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %v", err)
				}
				return
			}
			want := Default()
			tc.change(&want)
			if err != nil || got != want {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Config)
		text   string
	}{
		{"the defaults", func(*Config) {}, ""},
		{"no stabilization", func(c *Config) { c.ServerStabilizationTime = 0 }, ""},
		{"a threshold that nobody meets", func(c *Config) { c.LastContactThreshold = 0 },
			"Invalid autopilot configuration: LastContactThreshold must be greater than 0, not 0s"},
		{"a time below zero", func(c *Config) { c.ServerStabilizationTime = -1 },
			"Invalid autopilot configuration: ServerStabilizationTime cannot be negative: -1ns"},
	} {
		c := Default()
		tc.change(&c)
		err := c.Validate()
		if tc.text == "" && err != nil || tc.text != "" && (err == nil || err.Error() != tc.text || errs.KindOf(err) != errs.Invalid) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestStatsTravel(t *testing.T) {
	for _, s := range []Stats{{}, {ID: "s1", LastContact: Never, LastIndex: 1, Peers: []string{"s1", "s2"}}, {LastContact: 1500 * time.Microsecond, LastTerm: 2, LastIndex: 1 << 60}} {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got Stats
		if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%s: %+v, %v", data, got, err)
		}
	}
	for _, bad := range []string{`{"LastContact":"soon"}`, `[]`, `{"LastIndex":-1}`} {
		if err := json.Unmarshal([]byte(bad), new(Stats)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

// address is where the server with an ID listens.
func address(id string) string { return "10.0.0." + id[1:] + ":8300" }

// server is a healthy voter, but for what change says.
func server(id string, change ...func(*Server)) Server {
	s := Server{
		Member:      Member{ID: id, Name: "node-" + id, Address: address(id), Status: Alive, Expect: 3},
		Peer:        true,
		Voter:       true,
		Answered:    true,
		Healthy:     true,
		StableSince: noon.Add(-time.Hour),
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func leads(s *Server)    { s.Leader = true }
func nonvoter(s *Server) { s.Voter = false }
func joined(s *Server)   { s.Peer, s.Voter, s.Healthy = false, false, false }
func silent(s *Server)   { s.Answered, s.Healthy = false, false }
func ill(s *Server)      { s.Healthy, s.StableSince = false, noon.Add(-time.Minute) }
func left(s *Server)     { ill(s); s.Status, s.Answered = Left, false }
func young(s *Server)    { s.StableSince = noon.Add(-10*time.Second + 1) }
func logOf(ids ...string) func(*Server) {
	return func(s *Server) { s.Log = Stats{ID: s.ID, LastIndex: 4, Peers: ids} }
}
func at(addr string) func(*Server) {
	return func(s *Server) { s.Address = addr }
}

// lost is a server that gossip lost a while ago.
func lost(status Status, ago time.Duration) func(*Server) {
	return func(s *Server) {
		ill(s)
		s.Status, s.goneSince, s.Answered = status, noon.Add(-ago), false
	}
}

// peersOf returns the peers that servers are, at their own addresses.
func peersOf(servers []Server) []Peer {
	var peers []Peer
	for _, s := range servers {
		if s.Peer {
			peers = append(peers, Peer{ID: s.ID, Address: address(s.ID), Voter: s.Voter})
		}
	}
	return peers
}

func TestNextChange(t *testing.T) {
	s1 := server("s1", leads)
	fail := lost(Failed, time.Minute)
	tests := []struct {
		name    string
		servers []Server
		change  func(*Config)
		want    string // action, ID, address
	}{
		{"nothing", []Server{s1, server("s2"), server("s3")}, nil, ""},
		{"one that joined replicates", []Server{s1, server("s2"), server("s3"), server("s4", joined)}, nil, "add s4 10.0.0.4:8300"},
		{"one that only gossip knows does not", []Server{s1, server("s4", joined, silent)}, nil, ""},
		{"one with a log of this cluster does", []Server{s1, server("s2"), server("s4", joined, logOf("s1", "s4"))}, nil, "add s4 10.0.0.4:8300"},
		{"one with a log of another cluster does not", []Server{s1, server("s2"), server("s4", joined, logOf("s4", "s5"))}, nil, ""},
		{"one with a log of its own does not", []Server{s1, server("s2"), server("s4", joined, logOf("s4"))}, nil, ""},
		{"one that is leaving does not", []Server{s1, server("s4", joined, func(s *Server) { s.Status = Leaving })}, nil, ""},
		{"one that is new has no vote yet", []Server{s1, server("s2"), server("s3"), server("s4", nonvoter, young)}, nil, ""},
		{"one that is stable votes", []Server{s1, server("s2"), server("s3"), server("s4", nonvoter)}, nil, "promote s4 10.0.0.4:8300"},
		{"one that is stable long enough for the setting", []Server{s1, server("s2"), server("s3"), server("s4", nonvoter, young)},
			func(c *Config) { c.ServerStabilizationTime = time.Second }, "promote s4 10.0.0.4:8300"},
		{"one that is ill has no vote", []Server{s1, server("s2"), server("s3"), server("s4", nonvoter, ill)}, nil, ""},
		{"where voters are missing a new one votes at once", []Server{s1, server("s2"), server("s3", nonvoter, young)}, nil, "promote s3 10.0.0.3:8300"},
		{"but not an ill one", []Server{s1, server("s2"), server("s3", nonvoter, ill)}, nil, ""},
		{"one that left goes", []Server{s1, server("s2"), server("s3", left)}, nil, "remove s3 10.0.0.3:8300"},
		{"even of two", []Server{s1, server("s2", left)}, nil, "remove s2 10.0.0.2:8300"},
		{"even with the minimum", []Server{s1, server("s2"), server("s3", left)}, func(c *Config) { c.MinQuorum = 3 }, "remove s3 10.0.0.3:8300"},
		{"even without clean-up", []Server{s1, server("s2"), server("s3", left)}, func(c *Config) { c.CleanupDeadServers = false }, "remove s3 10.0.0.3:8300"},
		{"the leader stays whatever gossip says", []Server{server("s1", left, leads), server("s2"), server("s3")}, nil, ""},
		{"a dead one goes", []Server{s1, server("s2"), server("s3", fail)}, nil, "remove s3 10.0.0.3:8300"},
		{"a dead one that gossip has forgotten goes", []Server{s1, server("s2"), server("s3", lost(Unknown, time.Minute))}, nil, "remove s3 10.0.0.3:8300"},
		{"one that may come back stays", []Server{s1, server("s2"), server("s3", lost(Failed, 9*time.Second))}, nil, ""},
		{"a dead one stays without clean-up", []Server{s1, server("s2"), server("s3", fail)}, func(c *Config) { c.CleanupDeadServers = false }, ""},
		{"a dead one stays at the minimum", []Server{s1, server("s2"), server("s3", fail)}, func(c *Config) { c.MinQuorum = 3 }, ""},
		{"a dead one goes above the minimum", []Server{s1, server("s2"), server("s3"), server("s4", fail)}, func(c *Config) { c.MinQuorum = 3 }, "remove s4 10.0.0.4:8300"},
		{"two dead of five go, one by one", []Server{s1, server("s2"), server("s3"), server("s4", fail), server("s5", fail)}, nil, "remove s4 10.0.0.4:8300"},
		{"the dead stay where they are too many", []Server{s1, server("s2"), server("s3", fail), server("s4", fail)}, nil, ""},
		{"a dead one without a vote goes all the same", []Server{s1, server("s2", fail), server("s3", fail), server("s4", fail, nonvoter)}, nil, "remove s4 10.0.0.4:8300"},
		{"one whose address another has goes at once", []Server{s1, server("s2"), server("s3", lost(Unknown, 0)), server("s4", joined, at("10.0.0.3:8300"))},
			func(c *Config) { c.CleanupDeadServers = false }, "remove s3 10.0.0.3:8300"},
		{"two at one address stay as they are", []Server{s1, server("s2"), server("s3"), server("s4", joined, at("10.0.0.3:8300"))}, nil, ""},
		{"one that comes back elsewhere moves", []Server{s1, server("s2"), server("s3", at("10.0.0.9:8300"))}, nil, "move s3 10.0.0.9:8300"},
		{"but not on gossip's word alone", []Server{s1, server("s2"), server("s3", silent, at("10.0.0.9:8300"))}, nil, ""},
		{"nobody goes because gossip says that another has its address",
			[]Server{s1, server("s2"), server("s3", lost(Failed, 0)), server("s4", joined, silent, at("10.0.0.3:8300"))}, nil, ""},
		{"the leader too", []Server{server("s1", leads, at("10.0.0.9:8300")), server("s2"), server("s3")}, nil, "move s1 10.0.0.9:8300"},
		{"what is gone comes before what joined", []Server{s1, server("s2"), server("s3", left), server("s4", joined)}, nil, "remove s3 10.0.0.3:8300"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := Default()
			if tc.change != nil {
				tc.change(&c)
			}
			got := ""
			if step, due := c.Next(State{At: noon, Leader: "s1", Servers: tc.servers}, peersOf(tc.servers)); due {
				got = fmt.Sprint(step.Action, " ", step.Peer.ID, " ", step.Peer.Address)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	member := func(id string, s Status) Member {
		return Member{ID: id, Name: "node-" + id, Address: address(id), Status: s}
	}
	view := View{
		Now: noon, Leader: "s1",
		Peers: []Peer{{"s3", address("s3"), true}, {"s1", address("s1"), true}, {"s2", address("s2"), true}, {"s9", address("s9"), false}},
		Members: []Member{
			member("s1", Alive), member("s2", Alive), member("s3", Failed), member("s4", Alive), member("s5", Failed), member("s6", Left),
			{ID: "s2", Name: "old-name", Address: address("s2"), Status: Left},
			{ID: "s1", Name: "impostor", Address: address("s7"), Status: Alive},
		},
		Stats: map[string]Stats{
			"s1": {LastTerm: 3, LastIndex: 1000}, "s2": {LastContact: 200 * time.Millisecond, LastTerm: 3, LastIndex: 750},
			"s4": {LastContact: Never},
		},
	}
	s := Default().Judge(view, State{})
	got := ""
	for _, one := range s.Servers {
		got += fmt.Sprintf("%s %s %s %s healthy=%t\n", one.ID, one.Name, one.Role(), one.Status, one.Healthy)
	}
	want := `s1 node-s1 leader alive healthy=true
s2 node-s2 voter alive healthy=true
s3 node-s3 voter failed healthy=false
s4 node-s4 none alive healthy=false
s9  non-voter none healthy=false
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if s.Healthy() || s.FailureTolerance() != 0 || !reflect.DeepEqual(s.Voters(), []string{"s1", "s2", "s3"}) {
		t.Errorf("healthy %t, tolerance %d, voters %v", s.Healthy(), s.FailureTolerance(), s.Voters())
	}
	if (&State{}).Healthy() {
		t.Error("a cluster of nobody is healthy")
	}
}

func TestHealth(t *testing.T) {
	leader := Stats{LastTerm: 3, LastIndex: 1000}
	good := Stats{LastContact: 50 * time.Millisecond, LastTerm: 3, LastIndex: 999}
	tests := []struct {
		name   string
		status Status
		stats  func(*Stats) // nil: it did not answer
		want   bool
	}{
		{"all is well", Alive, func(*Stats) {}, true},
		{"gossip lost it", Failed, func(*Stats) {}, false},
		{"it is leaving", Leaving, func(*Stats) {}, false},
		{"it does not answer", Alive, nil, false},
		{"it does not hear the leader", Alive, func(s *Stats) { s.LastContact = 201 * time.Millisecond }, false},
		{"it never heard a leader", Alive, func(s *Stats) { s.LastContact = Never }, false},
		{"it is as far behind as it may", Alive, func(s *Stats) { s.LastIndex = 750 }, true},
		{"it is too far behind", Alive, func(s *Stats) { s.LastIndex = 749 }, false},
		{"it is in another term", Alive, func(s *Stats) { s.LastTerm = 2 }, false},
		{"it is ahead", Alive, func(s *Stats) { s.LastIndex = 1001 }, true},
	}
	for _, tc := range tests {
		stats := map[string]Stats{"s1": leader}
		if tc.stats != nil {
			own := good
			tc.stats(&own)
			stats["s2"] = own
		}
		s := Default().Judge(View{
			Now: noon, Leader: "s1", Stats: stats, Peers: []Peer{{ID: "s1", Voter: true}, {ID: "s2", Voter: true}},
			Members: []Member{{ID: "s1", Status: Alive}, {ID: "s2", Status: tc.status}},
		}, State{})
		if got := s.Server("s2").Healthy; got != tc.want {
			t.Errorf("%s: healthy %t", tc.name, got)
		}
	}
}

func TestTimesOfChanges(t *testing.T) {
	members := []Member{{ID: "s1", Status: Alive}, {ID: "s2", Status: Alive}}
	view := func(after time.Duration, index uint64) View {
		return View{
			Now: noon.Add(after), Leader: "s1", Members: members, Peers: []Peer{{ID: "s1", Voter: true}, {ID: "s2", Voter: true}},
			Stats: map[string]Stats{"s1": {LastIndex: 1000}, "s2": {LastIndex: index}},
		}
	}
	c, s := Default(), State{}
	for _, step := range []struct {
		after time.Duration
		index uint64
		gone  Status
		since time.Duration
		lost  time.Duration // since when gossip lost it; 0 is not
	}{
		{1, 1000, Alive, 1, 0},
		{2, 999, Alive, 1, 0},
		{3, 1, Alive, 3, 0},
		{4, 1, Failed, 3, 4},
		{5, 1, Unknown, 3, 4},
		{6, 1000, Alive, 6, 0},
		{7, 1000, Failed, 7, 7},
	} {
		members[1].Status = step.gone
		s = c.Judge(view(step.after, step.index), s)
		one := s.Server("s2")
		want := time.Time{}
		if step.lost > 0 {
			want = noon.Add(step.lost)
		}
		if !one.StableSince.Equal(noon.Add(step.since)) || !one.goneSince.Equal(want) {
			t.Errorf("at %d: stable since %v, gone since %v", step.after, one.StableSince, one.goneSince)
		}
	}
}

func TestFailureTolerance(t *testing.T) {
	for _, tc := range []struct{ voters, ill, nonvoters, want int }{
		{1, 0, 0, 0}, {2, 0, 0, 0}, {3, 0, 0, 1}, {3, 1, 0, 0}, {3, 2, 0, 0}, {5, 0, 0, 2}, {5, 1, 0, 1}, {3, 0, 4, 1}, {0, 0, 0, 0},
	} {
		var s State
		for i := range tc.voters {
			one := server(fmt.Sprint("s", i))
			one.Healthy = i >= tc.ill
			s.Servers = append(s.Servers, one)
		}
		for i := range tc.nonvoters {
			s.Servers = append(s.Servers, server(fmt.Sprint("n", i), nonvoter))
		}
		if got := s.FailureTolerance(); got != tc.want {
			t.Errorf("%+v: %d", tc, got)
		}
	}
}

func TestBegin(t *testing.T) {
	member := func(id string, change ...func(*Member)) Member {
		m := Member{ID: id, Name: "node-" + id, Address: address(id), Status: Alive, Expect: 3}
		for _, c := range change {
			c(&m)
		}
		return m
	}
	three := []Member{member("s2"), member("s1"), member("s3")}
	empty := map[string]Stats{"s1": {}, "s2": {}, "s3": {}, "s4": {}}
	tests := []struct {
		name    string
		self    string
		expect  int
		members []Member
		logs    map[string]Stats
		want    string // the IDs
		kind    errs.Kind
		text    string
	}{
		{name: "all are there", self: "s1", expect: 3, members: three, logs: empty, want: "s1 s2 s3"},
		{name: "another begins", self: "s2", expect: 3, members: three, logs: empty},
		{name: "one more than expected", self: "s1", expect: 3, members: append([]Member{member("s4")}, three...), logs: empty, want: "s1 s2 s3 s4"},
		{name: "one is missing", self: "s1", expect: 3, members: three[:2], logs: empty},
		{name: "one has failed", self: "s1", expect: 3, members: []Member{member("s1"), member("s2"), member("s3", func(m *Member) { m.Status = Failed })}, logs: empty},
		{name: "one does not answer", self: "s1", expect: 3, members: three, logs: map[string]Stats{"s1": {}, "s3": {}}},
		{name: "nobody is expected", self: "s1", members: three, logs: empty},
		{name: "one has a state", self: "s1", expect: 3, members: three, logs: map[string]Stats{"s1": {}, "s2": {LastIndex: 7}, "s3": {}},
			kind: errs.Conflict, text: "server node-s2 is part of a cluster already: this one waits to be added to it"},
		{name: "one that has a state alone", self: "s1", expect: 3, members: three[:2], logs: map[string]Stats{"s2": {LastIndex: 1}},
			kind: errs.Conflict, text: "server node-s2 is part of a cluster already: this one waits to be added to it"},
		{name: "one expects others", self: "s1", expect: 3, members: []Member{member("s1"), member("s2", func(m *Member) { m.Expect = 5 })}, logs: empty,
			kind: errs.Invalid, text: "server node-s2 has bootstrap_expect = 5, this one 3"},
		{name: "one expects nobody", self: "s1", expect: 3, members: []Member{member("s2", func(m *Member) { m.Expect = 0 })}, logs: empty,
			kind: errs.Invalid, text: "server node-s2 has bootstrap_expect = 0, this one 3"},
		{name: "one begins alone", self: "s1", expect: 3, members: []Member{member("s2", func(m *Member) { m.Alone = true })}, logs: empty,
			kind: errs.Invalid, text: "server node-s2 has bootstrap = true, which begins a cluster without this one"},
		{name: "two have one id", self: "s1", expect: 3, members: []Member{member("s1"), member("s2"), member("s2", func(m *Member) { m.Address = "10.0.0.9:8300" })}, logs: empty,
			kind: errs.Invalid, text: "the servers at 10.0.0.2:8300 and 10.0.0.9:8300 have the same node id s2"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			peers, ok, err := Begin(tc.self, tc.expect, tc.members, tc.logs)
			var ids []string
			for _, p := range peers {
				if !p.Voter || p.Address != address(p.ID) {
					t.Errorf("peer %+v", p)
				}
				ids = append(ids, p.ID)
			}
			if got := strings.Join(ids, " "); got != tc.want || ok != (tc.want != "") {
				t.Errorf("got %q, %t", got, ok)
			}
			if tc.text == "" && err != nil || tc.text != "" && (err == nil || err.Error() != tc.text || errs.KindOf(err) != tc.kind) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"CleanupDeadServers":false,"LastContactThreshold":"1s","MinQuorum":3}`))
	f.Add([]byte(`{"ServerStabilizationTime":-5,"UpgradeVersionTag":"é"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Default()
		if json.Unmarshal(data, &c) != nil {
			return
		}
		out, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var again Config
		if err := json.Unmarshal(out, &again); err != nil || again != c {
			t.Fatalf("%s: %+v, not %+v (%v)", out, again, c, err)
		}
	})
}

func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &Asker{Self: "s1", Local: func() Stats { return Stats{ID: "s1", LastIndex: 1} },
			Remote: func(ctx context.Context, addr string) (Stats, error) {
				switch addr {
				case address("s2"):
					return Stats{ID: "s2", LastIndex: 2}, nil
				case address("s3"):
					return Stats{ID: "another"}, nil
				case address("s4"):
					<-ctx.Done()
					return Stats{}, ctx.Err()
				}
				t.Errorf("%s is asked", addr)
				return Stats{}, nil
			}}
		var members []Member
		for _, id := range []string{"s1", "s2", "s3", "s4"} {
			members = append(members, Member{ID: id, Address: address(id), Status: Alive})
		}
		members = append(members, Member{ID: "s5", Address: address("s5"), Status: Failed}, Member{ID: "s6", Status: Alive},
			Member{Address: address("s7"), Status: Alive})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		got := a.Ask(ctx, members)
		if want := map[string]Stats{"s1": {ID: "s1", LastIndex: 1}, "s2": {ID: "s2", LastIndex: 2}}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v", got)
		}
	})
}

func TestChoose(t *testing.T) {
	stored, file := Config{MinQuorum: 5}, Config{MinQuorum: 3}
	for _, tc := range []struct {
		name   string
		stored *Config
		file   Config
		want   Config
	}{
		{"what is stored", &stored, file, stored}, {"what the file says", nil, file, file}, {"the defaults", nil, Config{}, Default()},
	} {
		if got := Choose(tc.stored, tc.file); got != tc.want {
			t.Errorf("%s: %+v", tc.name, got)
		}
	}
}
