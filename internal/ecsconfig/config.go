// Package ecsconfig is CONSUL_ECS_CONFIG_JSON: what consul-ecs is to do in a
// task (spec: ecs.md section 4). The JSON Schema beside it says what is allowed, and is what
// users check their files with.
package ecsconfig

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/xeipuuv/gojsonschema"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/errs"
)

// EnvironmentVariable is where a task's containers find the configuration.
const EnvironmentVariable = "CONSUL_ECS_CONFIG_JSON"

// Tags of an ECS task (ecs.md section 10). TagMesh, with the value "true", says that it takes part in the mesh.
const (
	TagMesh        = "consul.hashicorp.com/mesh"
	TagServiceName = "consul.hashicorp.com/service-name"
	TagPartition   = "consul.hashicorp.com/partition"
	TagNamespace   = "consul.hashicorp.com/namespace"
)

// Defaults (ecs.md section 4).
const (
	DefaultPublicPort   = 20000
	DefaultGatewayPort  = 8443
	defaultHTTPSPort    = 8501
	maxBytes, maxNested = 256 << 10, 32
)

// Schema is the JSON Schema, draft 7.
//
//go:embed schema.json
var Schema []byte

// Config is the whole configuration. Absent parts are nil.
type Config struct {
	BootstrapDir         string
	LogLevel             string
	ConsulHTTPAddr       string
	ConsulCACertFile     string
	ConsulServers        *Servers
	ConsulLogin          Login
	HealthSyncContainers []string
	Controller           Controller
	Service              Service
	Proxy                Proxy
	Gateway              *Gateway
}

// Servers is how releases from 0.7 on name the servers.
type Servers struct {
	Hosts           string
	SkipServerWatch bool
	Defaults, HTTP  ServerTLS
	GRPC            ServerTLS
}

// ServerTLS is how one protocol of the servers is reached.
type ServerTLS struct {
	Port          int
	HTTPS         *bool
	CACertFile    string
	TLS           *bool
	TLSServerName string
}

// Login is a login with the task's IAM role.
type Login struct {
	Enabled             bool
	Method              string
	IncludeEntity       *bool // nil is true
	ExtraLoginFlags     []string
	Meta                map[string]string
	Region              string
	STSEndpoint         string
	ServerIDHeaderValue string
	Datacenter          string
}

// Controller is what the ACL controller's flags say too.
type Controller struct {
	IAMRolePath       string
	PartitionsEnabled bool
	Partition         string
}

// Service is what the task registers.
type Service struct {
	Name              string
	Tags              []string
	Port              int
	EnableTagOverride bool
	Meta              map[string]string
	Weights           *Weights
	Namespace         string
	Partition         string
	Checks            []Check
}

// Weights are a service's shares of traffic.
type Weights struct{ Passing, Warning int }

// Check is a check of the service.
type Check struct {
	CheckID                string
	Name                   string
	Args                   []string
	Interval               string
	Timeout                string
	TTL                    string
	HTTP                   string
	Header                 map[string][]string
	Method                 string
	Body                   string
	TCP                    string
	UDP                    string
	Status                 string
	Notes                  string
	TLSServerName          string
	TLSSkipVerify          bool
	GRPC                   string
	GRPCUseTLS             bool
	H2Ping                 string
	H2PingUseTLS           bool
	AliasNode              string
	AliasService           string
	SuccessBeforePassing   int
	FailuresBeforeCritical int
}

// Proxy is the sidecar proxy.
type Proxy struct {
	PublicListenerPort  int
	HealthCheckPort     int
	LocalServiceAddress string
	Config              map[string]any
	Upstreams           []Upstream
	MeshGateway         *MeshGateway
	Expose              *Expose
}

// Upstream is a service that the application calls.
type Upstream struct {
	DestinationType      string
	DestinationName      string
	DestinationNamespace string
	DestinationPartition string
	DestinationPeer      string
	Datacenter           string
	LocalBindAddress     string
	LocalBindPort        int
	Config               map[string]any
	MeshGateway          *MeshGateway
}

// MeshGateway says whether traffic leaves through a gateway.
type MeshGateway struct{ Mode string }

// Expose are paths that are reachable without mutual TLS.
type Expose struct {
	Checks bool
	Paths  []ExposePath
}

// ExposePath is one of them.
type ExposePath struct {
	ListenerPort  int
	Path          string
	LocalPathPort int
	Protocol      string
}

// Gateway is a task that is a gateway.
type Gateway struct {
	Kind            string
	LANAddress      *Address
	WANAddress      *Address
	Name            string
	Tags            []string
	Meta            map[string]string
	Namespace       string
	Partition       string
	HealthCheckPort int
	Proxy           struct{ Config map[string]any }
}

// Address is where a gateway is reached.
type Address struct {
	Address string
	Port    int
}

// FromEnv reads the configuration that lookup finds in EnvironmentVariable.
// Its errors are errs.Invalid, and name each field that is wrong and why.
func FromEnv(lookup func(string) string) (*Config, error) {
	text := lookup(EnvironmentVariable)
	if text == "" {
		return nil, errs.Errorf(errs.Invalid, "invalid config: %q isn't populated", EnvironmentVariable)
	}
	c, err := Parse([]byte(text))
	if err != nil {
		return nil, errs.Errorf(errs.Invalid, "invalid config: %w", err)
	}
	return c, nil
}

// Parse reads a configuration and fills in what has a default that depends on nothing else.
func Parse(text []byte) (*Config, error) {
	if err := checkSyntax(text); err != nil {
		return nil, err
	}
	if err := checkSchema(text); err != nil {
		return nil, err
	}
	var c Config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, typeError(err)
	}
	c.fill()
	if len(c.HealthSyncContainers) > 0 && len(c.Service.Checks) > 0 {
		return nil, errs.New(errs.Invalid, "only one of service.checks or healthSyncContainers should be set")
	}
	return &c, nil
}

// typeError says of a number that the schema takes for an integer, such as 1e3, what is wrong with it.
func typeError(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	names := strings.Split(wrong.Field, ".")
	for i, name := range names {
		names[i] = strings.ToLower(name[:min(1, len(name))]) + name[min(1, len(name)):]
	}
	return fmt.Errorf("1 error occurred:\n\t* %s: must be written as a whole number, given: %s\n\n", strings.Join(names, "."), wrong.Value)
}

// checkSyntax bounds the text, and refuses what is no JSON or has a key twice.
func checkSyntax(text []byte) error {
	if len(text) > maxBytes {
		return fmt.Errorf("longer than %d bytes", maxBytes)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := checkValue(dec, "(root)", 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data after the configuration")
	}
	return nil
}

func checkValue(dec *json.Decoder, path string, depth int) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	open, isDelim := token.(json.Delim)
	if !isDelim {
		return nil
	}
	if depth == maxNested {
		return fmt.Errorf("%s: nested more than %d levels deep", path, maxNested)
	}
	seen := map[string]bool{}
	for i := 0; dec.More(); i++ {
		at := path + "." + strconv.Itoa(i)
		if open == '{' {
			token, err := dec.Token()
			if err != nil {
				return err
			}
			key, _ := token.(string)
			if at = path + "." + key; seen[key] {
				return fmt.Errorf("%s: given twice", strings.TrimPrefix(at, "(root)."))
			}
			seen[key] = true
		}
		if err := checkValue(dec, at, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// checkSchema lists all that the schema does not allow, in the layout of ecs.md section 5.
func checkSchema(text []byte) error {
	result, err := gojsonschema.Validate(gojsonschema.NewBytesLoader(Schema), gojsonschema.NewBytesLoader(text))
	if err != nil {
		return err
	}
	if result.Valid() {
		return nil
	}
	var list strings.Builder
	wrong := result.Errors()
	what := "errors"
	if len(wrong) == 1 {
		what = "error"
	}
	fmt.Fprintf(&list, "%d %s occurred:\n", len(wrong), what)
	for _, e := range wrong {
		fmt.Fprintf(&list, "\t* %s\n", e)
	}
	return errors.New(list.String() + "\n")
}

// fill fills in defaults, and gives what has two names one.
func (c *Config) fill() {
	if c.LogLevel == "" {
		c.LogLevel = "INFO"
	}
	if c.ConsulLogin.Method == "" {
		c.ConsulLogin.Method = aclsetup.DefaultServiceMethod
	}
	if c.Proxy.PublicListenerPort == 0 {
		c.Proxy.PublicListenerPort = DefaultPublicPort
	}
	s := c.ConsulServers
	if s == nil {
		return
	}
	scheme, port := "https", defaultHTTPSPort
	for _, off := range []*bool{s.Defaults.TLS, s.HTTP.TLS, s.HTTP.HTTPS} {
		if off != nil {
			scheme = map[bool]string{true: "https", false: "http"}[*off]
		}
	}
	if s.HTTP.Port != 0 {
		port = s.HTTP.Port
	}
	if c.ConsulHTTPAddr == "" {
		c.ConsulHTTPAddr = fmt.Sprintf("%s://%s:%d", scheme, s.Hosts, port)
	}
	for _, file := range []string{s.HTTP.CACertFile, s.Defaults.CACertFile} {
		if c.ConsulCACertFile == "" {
			c.ConsulCACertFile = file
		}
	}
}
