package config

import (
	"flag"
	"io"
	"strings"
	"testing"
)

// agentFlags are the flags of spec agent.md section 1.
const agentFlags = `advertise advertise-wan allow-write-http-from alt-domain auto-reload-config bind bootstrap bootstrap-expect
check_output_max_size client config-dir config-file config-format data-dir datacenter default-query-time max-query-time dev
disable-host-node-id disable-keyring-file dns-port domain enable-script-checks enable-local-script-checks encrypt grpc-port
grpc-tls-port hcl http-port https-port join join-wan log-file log-json log-level log-rotate-bytes log-rotate-duration
log-rotate-max-files node node-id node-meta non-voting-server read-replica pid-file primary-gateway protocol raft-protocol
recursor rejoin retry-join retry-interval retry-max retry-join-wan retry-interval-wan retry-max-wan segment serf-lan-bind
serf-wan-bind serf-lan-port serf-wan-port serf-lan-allowed-cidrs serf-wan-allowed-cidrs server server-port syslog ui ui-dir
ui-content-path`

func TestFlagsAreThoseOfTheAgent(t *testing.T) {
	var s Sources
	fs := flag.NewFlagSet("agent", flag.ContinueOnError)
	s.Flags(fs)
	want := map[string]bool{}
	for _, name := range strings.Fields(agentFlags) {
		want[name] = true
		if fs.Lookup(name) == nil {
			t.Errorf("-%s is missing", name)
		}
	}
	fs.VisitAll(func(f *flag.Flag) {
		if !want[f.Name] {
			t.Errorf("-%s is not a flag of the agent", f.Name)
		}
	})
}

func TestBadFlagValues(t *testing.T) {
	for _, tc := range []struct{ arg, want string }{
		{"-dns-port=x", `invalid value "x" for flag -dns-port: not a valid int`},
		{"-retry-interval=5", `invalid value "5" for flag -retry-interval: not a valid duration`},
		{"-server=maybe", `invalid boolean value "maybe" for -server: not a valid bool`},
		{"-bogus", `flag provided but not defined: -bogus`},
	} {
		var s Sources
		fs := flag.NewFlagSet("agent", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		s.Flags(fs)
		if err := fs.Parse([]string{tc.arg}); err == nil || err.Error() != tc.want {
			t.Errorf("%s: got %v, want %s", tc.arg, err, tc.want)
		}
	}
}
