// Package awslocal is the local twin of AWS: STS, IAM, ECS, the secrets of
// Secrets Manager and SSM, the ECS container credential endpoint and the task
// metadata endpoint on loopback. It verifies Signature Version 4, enforces IAM
// permissions and answers in AWS's XML and JSON, so that the AWS SDKs and the
// aws command line take it for AWS. Package taskrun runs tasks' containers.
package awslocal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	credentialsPath = "/v2/credentials/"
	metadataPath    = "/v4/"
	maxHeader       = 64 << 10
)

// Options is how a Server behaves; the zero value works. The functions are
// called from many goroutines.
type Options struct {
	Now     func() time.Time                   // time.Now when nil
	Latency time.Duration                      // before every answer
	Observe func(Call)                         // is told of every call before its answer is sent
	Fault   func(service, action string) Fault // chooses how a call goes wrong
}

// Call is one request as it was answered.
type Call struct {
	Service   string // "sts", "iam", "ecs", "secretsmanager", "ssm", "credentials" or "metadata"; "" if it cannot be read
	Action    string // such as "GetRole"; for the last two "Get"; "" if it cannot be read
	Principal string // ARN of the caller, "" for who was not authenticated
	Status    int    // 0 when the connection was cut
	Code      string // AWS's error code, "" for none
	Duration  time.Duration

	role, session string // of the caller, if it is a role
}

// Server is a local AWS. Use it as an http.Handler, or Start it.
type Server struct {
	options  Options
	entities map[string]*identity  // by ARN
	byName   map[nameKey]*identity // names are unique whatever the path

	running sync.Mutex                     // guards ran, and is held while tasks start; taken before mu
	ran     map[string]describeTasksResult // by the client token of RunTask

	mu            sync.RWMutex // guards what follows
	credentials   map[string]*credential
	tasks         map[string]*task // by id, also those that stopped a while ago
	byCredentials map[string]*task // by the id in the credential endpoint's path
	sequence      uint64           // of the newest task
	definitions   map[familyKey][]*registered
	runTasks      func(RunRequest) (string, error) // from OnRunTask
	secrets       map[storeKey]*stored             // of Secrets Manager, by name
	parameters    map[storeKey]*stored             // of SSM, by name
	limits        map[string]Limit                 // by API
	buckets       map[bucketKey]bucket
	counts        map[Counter]*Count
	url           string
	server        *http.Server
	served        chan struct{}
}

type nameKey struct{ account, kind, name string }

// New returns a Server with the identities of f, which has to be valid as Load says.
func New(f Fixture, o Options) (*Server, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		options:       o,
		entities:      map[string]*identity{},
		byName:        map[nameKey]*identity{},
		credentials:   map[string]*credential{},
		tasks:         map[string]*task{},
		byCredentials: map[string]*task{},
		ran:           map[string]describeTasksResult{},
		definitions:   map[familyKey][]*registered{},
		secrets:       map[storeKey]*stored{},
		parameters:    map[storeKey]*stored{},
		limits:        map[string]Limit{},
		buckets:       map[bucketKey]bucket{},
		counts:        map[Counter]*Count{},
	}
	created := s.now().UTC().Truncate(time.Second)
	add := func(i *identity) {
		i.created = created
		s.entities[i.arn] = i
		s.byName[nameKey{i.account, i.kind, i.name}] = i
	}
	for _, a := range f.Accounts {
		for _, r := range a.Roles {
			i := newIdentity("role", a.ID, r.Name, r.Path, r.ID)
			i.tags, i.permissions, i.trust = r.Tags, r.Permissions, r.Trust
			add(i)
		}
		for _, u := range a.Users {
			i := newIdentity("user", a.ID, u.Name, u.Path, u.ID)
			i.tags, i.permissions = u.Tags, u.Permissions
			add(i)
			for _, k := range u.AccessKeys {
				s.credentials[k.ID] = &credential{accessKey: k.ID, secret: k.Secret, who: principal{identity: i}}
			}
		}
	}
	return s, nil
}

func (s *Server) now() time.Time {
	if s.options.Now != nil {
		return s.options.Now()
	}
	return time.Now()
}

// Start listens on addr, such as "127.0.0.1:0" (meant when empty), and serves
// until Close or the end of ctx. addr has to be a loopback address.
func (s *Server) Start(ctx context.Context, addr string) error {
	addr = cmp.Or(addr, "127.0.0.1:0")
	if a, err := netip.ParseAddrPort(addr); err != nil || !a.Addr().IsLoopback() {
		return fmt.Errorf("start local AWS: %q is not a loopback address with a port", addr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return errors.New("start local AWS: it is started")
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("start local AWS: %w", err)
	}
	server, served := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
	}, make(chan struct{})
	s.url, s.server, s.served = "http://"+l.Addr().String(), server, served
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		defer close(served)
		_ = server.Serve(l) // returns once the server is closed
		stop()
	}()
	return nil
}

// URL returns "http://127.0.0.1:<port>", or "" before Start.
func (s *Server) URL() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.url
}

// Close stops listening and cuts the open connections.
func (s *Server) Close() error {
	s.mu.Lock()
	server, served := s.server, s.served
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	err := server.Close()
	<-served
	return err
}

// answer is a response before it is sent.
type answer struct {
	cut    bool // close the connection instead
	status int
	code   string // of an error
	header http.Header
	body   []byte
}

// ServeHTTP answers one request: credentials and metadata of tasks by their
// path, and a signed call of a service on any other path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	var call Call
	right := s.route(r, &call)
	var fault Fault
	if s.options.Fault != nil {
		fault = s.options.Fault(call.Service, call.Action)
	}
	var a answer
	switch {
	case !wait(r.Context(), s.options.Latency+fault.Delay):
		a.cut = true
	case fault.Cut || fault.Status != 0:
		a = fault.answer(call.Service)
	default:
		a = right()
	}
	call.Status, call.Code, call.Duration = a.status, a.code, time.Since(start)
	s.count(call)
	if s.options.Observe != nil {
		s.options.Observe(call)
	}
	if a.cut {
		panic(http.ErrAbortHandler) // net/http's way to cut the connection
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// route fills call and returns what computes the right answer.
func (s *Server) route(r *http.Request, call *Call) func() answer {
	if id, ok := strings.CutPrefix(r.URL.Path, credentialsPath); ok {
		call.Service, call.Action = "credentials", "Get"
		return func() answer { return localAnswer(r, func() (any, *apiError) { return s.taskCredentials(id, call) }) }
	}
	if id, ok := strings.CutPrefix(r.URL.Path, metadataPath); ok {
		call.Service, call.Action = "metadata", "Get"
		return func() answer { return localAnswer(r, func() (any, *apiError) { return s.taskMetadata(id, call) }) }
	}
	return s.apiCall(r, call)
}

// localAnswer answers as the endpoints do that only a task can reach: in JSON.
func localAnswer(r *http.Request, get func() (any, *apiError)) answer {
	var value any
	err := refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "The method %s is not allowed.", r.Method)
	if r.Method == http.MethodGet {
		value, err = get()
	}
	a := answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}}
	if err != nil {
		a.status, a.code = err.status, err.code
		value = map[string]any{"code": err.code, "message": err.message, "HTTPErrorCode": err.status}
	}
	body, failed := json.Marshal(value)
	if failed != nil {
		panic("awslocal: answers are plain structs: " + failed.Error())
	}
	a.body = body
	return a
}
