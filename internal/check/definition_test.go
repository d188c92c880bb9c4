package check

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

func TestValidate(t *testing.T) {
	const interval = "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"
	for _, c := range []struct {
		name string
		d    Definition
		want string
	}{
		{"no name", Definition{TTL: 1}, "Missing check name"},
		{"an unknown status", Definition{Name: "x", Status: "HEALTHY", TTL: 1}, "Bad check status"},
		{"maintenance is no status of a check", Definition{Name: "x", Status: "maintenance", TTL: 1}, "Bad check status"},
		{"a TTL", Definition{Name: "x", TTL: 1, Status: Warning}, ""},
		{"no type", Definition{Name: "x"}, "Invalid check: TTL must be > 0 for TTL checks"},
		{"an interval alone", Definition{Name: "x", Interval: 1}, "Invalid check: TTL must be > 0 for TTL checks"},
		{"a TTL below nothing", Definition{Name: "x", TTL: -1}, "Invalid check: TTL must be > 0 for TTL checks"},
		{"a TTL and an interval", Definition{Name: "x", TTL: 1, Interval: 1}, "Invalid check: Interval and TTL cannot both be specified"},
		{"a container without a command", Definition{Name: "x", DockerContainerID: "c", Interval: 1}, "Invalid check: TTL must be > 0 for TTL checks"},
		{"http", Definition{Name: "x", HTTP: "http://h/", Interval: 1}, ""},
		{"http without an interval", Definition{Name: "x", HTTP: "http://h/"}, interval},
		{"tcp without an interval", Definition{Name: "x", TCP: "h:1"}, interval},
		{"udp without an interval", Definition{Name: "x", UDP: "h:1"}, interval},
		{"grpc without an interval", Definition{Name: "x", GRPC: "h:1"}, interval},
		{"h2ping without an interval", Definition{Name: "x", H2PING: "h:1"}, interval},
		{"a script without an interval", Definition{Name: "x", Args: []string{"true"}}, interval},
		{"a service without an interval", Definition{Name: "x", OSService: "sshd"}, interval},
		{"docker with an interval below nothing", Definition{Name: "x", Args: []string{"true"}, DockerContainerID: "c", Interval: -1}, interval},
		{"an alias needs nothing", Definition{Name: "x", AliasService: "y"}, ""},
		{"an alias of a node", Definition{Name: "x", AliasNode: "y"}, ""},
		{"output below nothing", Definition{Name: "x", TTL: 1, OutputMaxSize: -1}, "Invalid check: MaxOutputMaxSize must be positive"},
		{"warnings after critical", Definition{Name: "x", TTL: 1, FailuresBeforeWarning: 2, FailuresBeforeCritical: 1},
			"Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical"},
		{"warnings with critical", Definition{Name: "x", TTL: 1, FailuresBeforeWarning: 2, FailuresBeforeCritical: 2}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.d.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || err.Error() != c.want || errs.KindOf(err) != errs.Invalid):
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestTypes(t *testing.T) {
	args := []string{"true"}
	for want, d := range map[string]Definition{
		"script": {Args: args}, "docker": {Args: args, DockerContainerID: "c"}, "http": {HTTP: "u"}, "tcp": {TCP: "h:1"},
		"udp": {UDP: "h:1"}, "ttl": {TTL: 1}, "grpc": {GRPC: "h:1"}, "h2ping": {H2PING: "h:1"}, "alias": {AliasNode: "n"},
		"os_service": {OSService: "s"},
	} {
		if got := d.Type(); got != want {
			t.Errorf("%s is %s", want, got)
		}
		if d.Scripted() != (want == "script" || want == "docker") {
			t.Errorf("%s is scripted: %v", want, d.Scripted())
		}
	}
}

func TestDefinitionFromJSON(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Definition
		err        string
	}{
		{"as the published client writes it",
			`{"ID":"i","Name":"n","Notes":"o","ServiceID":"s","Interval":"10s","Timeout":"1s","HTTP":"http://h/","Header":{"A":["b","c"]},"Method":"PUT","Body":"x","TLSServerName":"t","TLSSkipVerify":true,"Status":"passing","SuccessBeforePassing":1,"FailuresBeforeWarning":2,"FailuresBeforeCritical":3,"DeregisterCriticalServiceAfter":"90m","Namespace":"ns","Partition":"p"}`,
			Definition{CheckID: "i", Name: "n", Notes: "o", ServiceID: "s", Interval: 10 * time.Second, Timeout: time.Second, HTTP: "http://h/",
				Header: map[string][]string{"A": {"b", "c"}}, Method: "PUT", Body: "x", TLSServerName: "t", TLSSkipVerify: true, Status: "passing",
				SuccessBeforePassing: 1, FailuresBeforeWarning: 2, FailuresBeforeCritical: 3, DeregisterCriticalServiceAfter: 90 * time.Minute,
				Namespace: "ns", Partition: "p"}, ""},
		{"as configuration files write it",
			`{"id":"i","name":"n","service_id":"s","interval":"10s","args":["a","b"],"docker_container_id":"c","shell":"/bin/sh","tls_server_name":"t","tls_skip_verify":true,"success_before_passing":1,"failures_before_warning":2,"failures_before_critical":3,"deregister_critical_service_after":"90m","output_max_size":9,"token":"secret","disable_redirects":true,"tcp_use_tls":true,"grpc_use_tls":true,"alias_node":"an","alias_service":"as","os_service":"os"}`,
			Definition{CheckID: "i", Name: "n", ServiceID: "s", Interval: 10 * time.Second, Args: []string{"a", "b"}, DockerContainerID: "c", Shell: "/bin/sh",
				TLSServerName: "t", TLSSkipVerify: true, SuccessBeforePassing: 1, FailuresBeforeWarning: 2, FailuresBeforeCritical: 3,
				DeregisterCriticalServiceAfter: 90 * time.Minute, OutputMaxSize: 9, Token: "secret", DisableRedirects: true, TCPUseTLS: true, GRPCUseTLS: true,
				AliasNode: "an", AliasService: "as", OSService: "os"}, ""},
		{"script arguments", `{"ScriptArgs":["x"]}`, Definition{Args: []string{"x"}}, ""},
		{"durations as numbers", `{"TTL":1000000000,"interval":2}`, Definition{TTL: time.Second, Interval: 2}, ""},
		{"empty texts and null are nothing", `{"Interval":"","TTL":null,"HTTP":"","ID":"","CheckID":"c"}`, Definition{CheckID: "c"}, ""},
		{"both ids alike", `{"ID":"c","CheckID":"c"}`, Definition{CheckID: "c"}, ""},
		{"a ping is encrypted unless it says otherwise", `{"H2PING":"h:1"}`, Definition{H2PING: "h:1", H2PingUseTLS: true}, ""},
		{"a plain ping", `{"h2ping":"h:1","h2ping_use_tls":false}`, Definition{H2PING: "h:1"}, ""},
		{"null", `null`, Definition{}, ""},

		{"both ids, different", `{"ID":"a","CheckID":"b"}`, Definition{}, `json: duplicate key "ID"`},
		{"both spellings", `{"service_id":"a","ServiceID":"b"}`, Definition{}, `json: duplicate key "service_id"`},
		{"an unknown key", `{"Name":"x","Bogus":1}`, Definition{}, `json: unknown field "Bogus"`},
		{"no duration", `{"Interval":"abc"}`, Definition{}, `time: invalid duration "abc"`},
		{"a duration without a unit", `{"TTL":"10"}`, Definition{}, `time: missing unit in duration "10"`},
		{"half a nanosecond", `{"TTL":0.5}`, Definition{}, "json: cannot unmarshal number 0.5 into Go value of type int64"},
		{"a list", `[]`, Definition{}, "json: cannot unmarshal array"},
		{"a number for a name", `{"Name":1}`, Definition{}, "json: cannot unmarshal number into Go value of type string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got Definition
			err := json.Unmarshal([]byte(c.text), &got)
			switch {
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%v, want %s", err, c.err)
			case c.err == "" && err != nil:
				t.Error(err)
			case !reflect.DeepEqual(got, c.want):
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// TestEveryFieldHasAKey keeps the table of keys complete.
func TestEveryFieldHasAKey(t *testing.T) {
	kind := reflect.TypeFor[Definition]()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		field, ok := fields[strings.ToLower(name)]
		if !ok {
			t.Errorf("%s has no key", name)
			continue
		}
		var d Definition
		if got, want := reflect.ValueOf(field(&d)).Pointer(), reflect.ValueOf(&d).Elem().Field(i).Addr().Pointer(); got != want {
			t.Errorf("the key of %s sets another field", name)
		}
	}
}

func FuzzDefinition(f *testing.F) {
	for _, seed := range []string{
		`{"Name":"n","HTTP":"http://h/","Interval":"10s","Header":{"A":["b"]}}`, `{"id":"x","ttl":1}`, `{"h2ping":"h:1","h2ping_use_tls":false}`,
		`{"args":["a"],"Args":["b"]}`, `null`, `{}`, `{"Token":"t"}`, `{"TTL":"-1h"}`, `{"Timeout":9223372036854775807}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Definition
		if json.Unmarshal(data, &d) != nil {
			return
		}
		_ = d.Validate()
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again Definition
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		d.Token = ""
		second, err := json.Marshal(again)
		if err != nil || string(second) != string(text) || again.Type() != d.Type() {
			t.Fatalf("%s became %s (%v)", text, second, err)
		}
	})
}
