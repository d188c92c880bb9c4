// Package daemon assembles an agent from its parts and runs it: listeners,
// consensus, the leader's tasks, signals, reload and leave.
package daemon

import (
	"time"

	"github.com/lictor/lictor/internal/autopilot"
	"github.com/lictor/lictor/internal/ca"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/configentry"
	"github.com/lictor/lictor/internal/gossip"
	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/watch"
)

// Config is everything an agent runs with, after files and flags were merged
// and checked. Package config builds one.
type Config struct {
	NodeName          string
	NodeID            string // a UUID; empty means: kept in the data directory, made on the first start
	NodeMeta          map[string]string
	Datacenter        string
	PrimaryDatacenter string
	Partition         string // of a client agent; servers are in default
	Domain            string // DNS domain without dots at the ends
	DataDir           string // empty only in dev mode: nothing is kept
	Dev               bool   // in memory, fast timings, pretty JSON
	Server            bool
	Bootstrap         bool // this server may elect itself
	BootstrapExpect   int

	BindAddr       string // cluster traffic, one IP address
	AdvertiseAddr  string // what others dial, one IP address
	SerfLANAddr    string // gossip, one IP address; empty means BindAddr
	SerfLANAllowed []string
	Ports          Ports
	ClientAddrs    []string  // IP addresses the API listens on by default
	Addresses      Addresses // per listener; empty means ClientAddrs

	RetryJoin         []string
	RetryInterval     time.Duration
	RetryMax          int
	RejoinAfterLeave  bool
	Encrypt           logging.Secret // base64 gossip key
	LeaveOnTerminate  bool
	SkipLeaveOnInt    bool
	ReconnectTimeout  time.Duration
	AdvertiseReconn   time.Duration
	GossipLAN         gossip.Pace
	CentralSvcConfig  bool
	ConnectEnabled    bool
	MeshCA            ca.Settings // what a cluster begins with; zero is the defaults
	EnableDebug       bool
	DisableKeyring    bool
	DefaultQueryTime  time.Duration // of a blocking query without wait
	MaxQueryTime      time.Duration
	EncryptVerifyIn   bool
	EncryptVerifyOut  bool
	PidFile           string
	UIEnabled         bool
	AutoReloadConfig  bool
	SnapshotThreshold uint64
	SnapshotInterval  time.Duration
	TrailingLogs      uint64
	RPCHold           time.Duration    // for a leader or a server; 0 is 7 seconds
	SessionTTLMin     time.Duration    // 0 is 10 seconds
	RaftMultiplier    int              // of raft's time-outs; 0 is 1
	Autopilot         autopilot.Config // what counts before an operator has chosen; zero is the defaults

	Services           []local.ServiceDefinition // of the configuration's files
	Checks             []check.Definition
	EnableScripts      bool          // checks that are registered over the API may run programs
	EnableLocalScripts bool          // those of the configuration's files may
	CheckUpdates       time.Duration // check_update_interval: how long news of a check's output alone may wait; 0 is at once
	CheckOutputMax     int           // bytes of a check's output that are kept; 0 is 4096
	DiscardCheckOutput bool          // nothing of a check's output is kept
	SidecarPorts       local.Ports   // for sidecars without a port
	ExposePorts        local.Ports   // for checks that sidecars expose
	Watches            []Watch

	DefaultIntentionPolicy string              // "allow", "deny", or "" for what the ACLs' default policy is
	BootstrapEntries       []configentry.Entry // that a leader makes where they are missing; settled

	ACL         ACL
	TLS         TLS
	AutoEncrypt AutoEncrypt
	Audit       Audit
	HTTP        HTTP
	Limits      Limits

	GRPCKeepaliveInterval time.Duration // of silence before a proxy is pinged; 0 is 30 s
	GRPCKeepaliveTimeout  time.Duration // for its answer; 0 is 20 s

	Telemetry Telemetry
	Log       logging.Config

	Idle []string // keys of the settings given that nothing acts on yet, to be logged once
}

// Watch is a watches block: what to follow, and who is told of its changes.
type Watch struct {
	watch.Query // without a token the agent's default token counts
	watch.Handler
}

// Ports are TCP (and for gossip and DNS also UDP) port numbers; -1 means off.
type Ports struct {
	DNS, HTTP, HTTPS, GRPC, GRPCTLS, SerfLAN, SerfWAN, Server int
}

// Addresses are IP addresses, or unix:///path for HTTP, HTTPS and gRPC.
type Addresses struct {
	DNS, HTTP, HTTPS, GRPC, GRPCTLS []string
}

// ACL is the acl stanza (spec: acl.md section 16).
type ACL struct {
	Enabled             bool
	DefaultPolicy       string // "allow" or "deny"
	DownPolicy          string
	TokenTTL            time.Duration
	PolicyTTL           time.Duration
	RoleTTL             time.Duration
	EnableKeyListPolicy bool
	TokenPersistence    bool
	TokenReplication    bool
	Tokens              ACLTokens
}

// ACLTokens are the tokens an agent starts with.
type ACLTokens struct {
	InitialManagement             logging.Secret
	Default                       logging.Secret
	Agent                         logging.Secret
	AgentRecovery                 logging.Secret
	Replication                   logging.Secret
	ConfigFileServiceRegistration logging.Secret
	DNS                           logging.Secret
}

// TLS is the tls stanza: each listener's settings with the defaults filled in.
type TLS struct {
	InternalRPC TLSListener
	HTTPS       TLSListener
	GRPC        TLSListener
}

// TLSListener is how one protocol uses TLS. Files are PEM paths.
type TLSListener struct {
	CAFile, CAPath       string
	CertFile, KeyFile    string
	MinVersion           string // TLSv1_0 … TLSv1_3
	CipherSuites         []string
	VerifyIncoming       bool
	VerifyOutgoing       bool
	VerifyServerHostname bool
	UseAutoCert          bool
}

// AutoEncrypt is the auto_encrypt stanza.
type AutoEncrypt struct {
	TLS, AllowTLS bool
	IPSAN, DNSSAN []string
}

// Audit is the audit stanza.
type Audit struct {
	Enabled bool
	Sinks   []AuditSink
}

// AuditSink is one sink of the audit stanza (spec: audit.md section 1).
type AuditSink struct {
	Name, Type, Format, Path, DeliveryGuarantee, Mode string
	Include, Exclude                                  []string // patterns of operations
	RotateDuration                                    time.Duration
	RotateMaxFiles                                    int
	RotateBytes                                       int64
}

// HTTP is the http_config stanza.
type HTTP struct {
	BlockEndpoints     []string
	ResponseHeaders    map[string]string
	AllowWriteHTTPFrom []string
	MaxHeaderBytes     int
}

// Limits is the limits stanza, as far as listeners use it.
type Limits struct {
	RPCHandshakeTimeout   time.Duration // of the server port; 0 is its default, as for the next
	RPCMaxConnsPerClient  int
	HTTPMaxConnsPerClient int
	HTTPSHandshakeTimeout time.Duration
	KVMaxValueSize        int64 // bytes; 0 is 512 KiB, as for the next
	TxnMaxReqLen          int64

	RPCRate     float64 // requests a second that a client agent passes on; 0 or less is no limit, as for all rates
	RPCMaxBurst int     // of these; 0 is 1000

	RequestMode                     string // "disabled", "permissive" or "enforcing"; "" is the first
	ReadRate, WriteRate             float64
	SourceReadRate, SourceWriteRate float64

	LoginsVerifying, LoginsWaiting int           // 0 is the default of limit.Queue, as for the next
	LoginsWait                     time.Duration // for a turn
	LoginSourceRate                float64
	LoginMethodRate                float64
}

// Telemetry is the telemetry stanza, as far as it has an effect.
type Telemetry struct {
	Prefix              string // of every name; empty is "consul"
	DisableHostname     bool
	PrefixFilter        []string // each "+prefix" or "-prefix"
	FilterDefault       bool
	PrometheusRetention time.Duration
	HostMetrics         bool // gauges of the machine too
}
