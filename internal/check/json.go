package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lictor/lictor/internal/wire"
)

// fields are where the value of a key goes; keys are lower case without underscores.
var fields = map[string]func(*Definition) any{
	"name":                           func(d *Definition) any { return &d.Name },
	"id":                             func(d *Definition) any { return &d.CheckID },
	"checkid":                        func(d *Definition) any { return &d.CheckID },
	"notes":                          func(d *Definition) any { return &d.Notes },
	"status":                         func(d *Definition) any { return &d.Status },
	"serviceid":                      func(d *Definition) any { return &d.ServiceID },
	"namespace":                      func(d *Definition) any { return &d.Namespace },
	"partition":                      func(d *Definition) any { return &d.Partition },
	"token":                          func(d *Definition) any { return &d.Token },
	"interval":                       func(d *Definition) any { return (*wire.Duration)(&d.Interval) },
	"timeout":                        func(d *Definition) any { return (*wire.Duration)(&d.Timeout) },
	"ttl":                            func(d *Definition) any { return (*wire.Duration)(&d.TTL) },
	"successbeforepassing":           func(d *Definition) any { return &d.SuccessBeforePassing },
	"failuresbeforewarning":          func(d *Definition) any { return &d.FailuresBeforeWarning },
	"failuresbeforecritical":         func(d *Definition) any { return &d.FailuresBeforeCritical },
	"outputmaxsize":                  func(d *Definition) any { return &d.OutputMaxSize },
	"deregistercriticalserviceafter": func(d *Definition) any { return (*wire.Duration)(&d.DeregisterCriticalServiceAfter) },
	"args":                           func(d *Definition) any { return &d.Args },
	"scriptargs":                     func(d *Definition) any { return &d.Args },
	"dockercontainerid":              func(d *Definition) any { return &d.DockerContainerID },
	"shell":                          func(d *Definition) any { return &d.Shell },
	"http":                           func(d *Definition) any { return &d.HTTP },
	"method":                         func(d *Definition) any { return &d.Method },
	"header":                         func(d *Definition) any { return &d.Header },
	"body":                           func(d *Definition) any { return &d.Body },
	"disableredirects":               func(d *Definition) any { return &d.DisableRedirects },
	"tcp":                            func(d *Definition) any { return &d.TCP },
	"tcpusetls":                      func(d *Definition) any { return &d.TCPUseTLS },
	"udp":                            func(d *Definition) any { return &d.UDP },
	"grpc":                           func(d *Definition) any { return &d.GRPC },
	"grpcusetls":                     func(d *Definition) any { return &d.GRPCUseTLS },
	"h2ping":                         func(d *Definition) any { return &d.H2PING },
	"h2pingusetls":                   func(d *Definition) any { return &d.H2PingUseTLS },
	"aliasnode":                      func(d *Definition) any { return &d.AliasNode },
	"aliasservice":                   func(d *Definition) any { return &d.AliasService },
	"osservice":                      func(d *Definition) any { return &d.OSService },
	"tlsservername":                  func(d *Definition) any { return &d.TLSServerName },
	"tlsskipverify":                  func(d *Definition) any { return &d.TLSSkipVerify },
}

// UnmarshalJSON reads an object whose keys are in CamelCase, as in the API, or
// in snake_case, as in configuration files. Durations are texts such as "10s"
// or numbers of nanoseconds. Unknown keys are errors, and so are two spellings
// of one key with different values.
func (d *Definition) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return err
	}
	read := Definition{H2PingUseTLS: true}
	seen := map[any]json.RawMessage{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		value := object[key]
		field, known := fields[strings.ToLower(strings.ReplaceAll(key, "_", ""))]
		if !known {
			return fmt.Errorf("json: unknown field %q", key)
		}
		if string(value) == `""` || string(value) == "null" {
			continue
		}
		to := field(&read)
		if other, twice := seen[to]; twice && !bytes.Equal(other, value) {
			return fmt.Errorf("json: duplicate key %q", key)
		}
		seen[to] = value
		if err := json.Unmarshal(value, to); err != nil {
			return err
		}
	}
	if read.H2PING == "" {
		read.H2PingUseTLS = false
	}
	*d = read
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads, in CamelCase, without fields
// that are not set and without the token.
func (d Definition) MarshalJSON() ([]byte, error) {
	type plain Definition
	out := struct {
		plain
		Interval                       wire.Duration `json:",omitempty"`
		Timeout                        wire.Duration `json:",omitempty"`
		TTL                            wire.Duration `json:",omitempty"`
		DeregisterCriticalServiceAfter wire.Duration `json:",omitempty"`
		H2PingUseTLS                   *bool         `json:",omitempty"`
	}{
		plain: plain(d), Interval: wire.Duration(d.Interval), Timeout: wire.Duration(d.Timeout), TTL: wire.Duration(d.TTL),
		DeregisterCriticalServiceAfter: wire.Duration(d.DeregisterCriticalServiceAfter),
	}
	if d.H2PING != "" {
		out.H2PingUseTLS = &d.H2PingUseTLS
	}
	return json.Marshal(out)
}
