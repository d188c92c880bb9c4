package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl"

	"github.com/lictor/lictor/internal/aclsetup"
	"github.com/lictor/lictor/internal/tenancy"
)

// Policies of a task's client token.
const (
	ownNode   = "own-node"  // writes the node that is named for the task, and no other
	documents = "documents" // writes every node, as the documents have it
)

// Where secrets are kept.
const (
	secretsManager = "secretsmanager"
	parameterStore = "ssm"
)

const maxSetupFile = 64 << 10

// SetupFile says what a cluster is to be set up for. It is HCL or JSON.
type SetupFile struct {
	Accounts     []string       `json:"accounts"`      // of AWS, whose roles are trusted
	RolePath     string         `json:"role_path"`     // of the trusted roles; "" is /consul-ecs/
	Region       string         `json:"region"`        // of the secrets
	Partition    string         `json:"partition"`     // that tasks live in; "" is default
	Namespaces   bool           `json:"namespaces"`    // the role's tag chooses a task's namespace
	ClientPolicy string         `json:"client_policy"` // "own-node" or "documents"
	TokenTTL     string         `json:"token_ttl"`     // of tokens, which tasks renew; "" is for ever
	SingleUse    bool           `json:"single_use"`    // a signature is good for one login
	Names        aclsetup.Names `json:"names"`         // "" is the documents' name
	Secrets      *Secrets       `json:"secrets"`       // nil leaves secrets alone

	ttl time.Duration
}

// Secrets are what tasks need to find and to trust the servers.
type Secrets struct {
	Store         string `json:"store"`  // "secretsmanager" or "ssm"
	Prefix        string `json:"prefix"` // of the names: <prefix>-ca-cert, -https-ca-cert, -gossip-key
	CAFile        string `json:"ca_file"`
	HTTPSCAFile   string `json:"https_ca_file"`
	GossipKeyFile string `json:"gossip_key_file"`
}

// ReadSetupFile reads a file, fills in defaults and checks it. Errors name the setting.
func ReadSetupFile(name string) (*SetupFile, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSetupFile {
		return nil, fmt.Errorf("%s: longer than %d bytes", name, maxSetupFile)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f, err := parseSetup(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func parseSetup(text []byte) (f *SetupFile, err error) {
	defer func() {
		if r := recover(); r != nil { // HCL's parser may, on hostile input
			f, err = nil, fmt.Errorf("cannot be parsed: %v", r)
		}
	}()
	var raw map[string]any
	if err := hcl.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	for _, block := range []string{"names", "secrets"} {
		list, ok := raw[block].([]map[string]any)
		if !ok {
			continue
		}
		if len(list) > 1 {
			return nil, fmt.Errorf("%s: given twice", block)
		}
		raw[block] = list[0]
	}
	plain, err := json.Marshal(raw)
	if err != nil {
		return nil, err
	}
	f = &SetupFile{}
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	f.fill()
	return f, f.check()
}

func (f *SetupFile) fill() {
	set := func(to *string, value string) {
		if *to == "" {
			*to = value
		}
	}
	set(&f.RolePath, "/consul-ecs/")
	set(&f.ClientPolicy, ownNode)
	f.Names = f.Names.OrDefault()
	if f.Secrets != nil {
		set(&f.Secrets.Store, secretsManager)
		set(&f.Secrets.Prefix, "consul")
	}
}

var (
	account  = regexp.MustCompile(`^[0-9]{12}$`)
	rolePath = regexp.MustCompile(`^/([!-~]+/)?$`)
	prefix   = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]+$`)
)

func (f *SetupFile) check() error {
	if len(f.Accounts) == 0 {
		return errors.New("accounts: at least one AWS account is required")
	}
	for _, id := range f.Accounts {
		if !account.MatchString(id) {
			return fmt.Errorf("accounts: %q is not an AWS account: 12 digits", id)
		}
	}
	if !rolePath.MatchString(f.RolePath) {
		return fmt.Errorf("role_path: %q does not begin and end with a slash", f.RolePath)
	}
	if f.ClientPolicy != ownNode && f.ClientPolicy != documents {
		return fmt.Errorf("client_policy: %q is neither %q nor %q", f.ClientPolicy, ownNode, documents)
	}
	if f.Partition != "" {
		if err := tenancy.ValidatePartition(f.Partition); err != nil {
			return fmt.Errorf("partition: %w", err)
		}
	}
	if f.TokenTTL != "" {
		var err error
		if f.ttl, err = time.ParseDuration(f.TokenTTL); err != nil || f.ttl < time.Minute || f.ttl > 24*time.Hour {
			return fmt.Errorf("token_ttl: %q is not a duration from 1m to 24h", f.TokenTTL)
		}
	}
	if s := f.Secrets; s != nil {
		switch {
		case !slices.Contains([]string{secretsManager, parameterStore}, s.Store):
			return fmt.Errorf("secrets.store: %q is neither %q nor %q", s.Store, secretsManager, parameterStore)
		case !prefix.MatchString(s.Prefix):
			return fmt.Errorf("secrets.prefix: %q cannot begin the name of a secret", s.Prefix)
		case s.CAFile == "" && s.HTTPSCAFile == "" && s.GossipKeyFile == "":
			return errors.New("secrets: names no file")
		}
	}
	return nil
}
