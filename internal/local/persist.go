package local

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lictor/lictor/internal/atomicfile"
	"github.com/lictor/lictor/internal/catalog"
	"github.com/lictor/lictor/internal/check"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// Directories below the data directory (spec: agent.md section 10).
const (
	servicesDir = "services"
	checksDir   = "checks"
	statusDir   = "checks/state"
)

const fileVersion = 1

// serviceFile is a service as it is kept. Its file is named after its id.
type serviceFile struct {
	Version int
	Token   logging.Secret
	Source  source
	Parent  string `json:",omitempty"`
	Service catalog.Service
}

// checkFile is a check as it is kept.
type checkFile struct {
	Version int
	Token   logging.Secret
	Source  source
	Check   catalog.Check
	ChkType check.Definition
}

// statusFile is what was reported last to a TTL check.
type statusFile struct {
	CheckID string
	Status  string
	Output  string
	Expires time.Time
}

// path returns the file of k in a directory below the data directory, "" if nothing is kept.
func (s *State) path(dir string, k key) string {
	if s.cfg.DataDir == "" {
		return ""
	}
	name := k.id
	if k.namespace != tenancy.DefaultName {
		name = k.namespace + "\x00" + k.id
	}
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.cfg.DataDir, filepath.FromSlash(dir), hex.EncodeToString(sum[:]))
}

func (s *State) saveService(i *serviceItem) error {
	return save(s.path(servicesDir, i.key()), true, serviceFile{fileVersion, i.token, i.source, i.parent, *i.Service})
}

func (s *State) saveCheck(c *checkItem) error {
	return save(s.path(checksDir, c.key()), true, checkFile{fileVersion, c.token, c.source, c.check, c.def})
}

// saveStatus keeps what was reported to a TTL check. The same report again is
// kept only when a quarter of the TTL has passed.
func (s *State) saveStatus(c *checkItem, expires time.Time) error {
	if s.cfg.DataDir == "" {
		return nil
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	k := c.key()
	now := statusFile{k.id, c.check.Status, c.check.Output, expires}
	registered := s.checks[k] == c
	s.mu.Unlock()
	old := c.saved
	soon := now.Expires.Sub(old.Expires) < c.def.TTL/4
	old.Expires = now.Expires
	if !registered || soon && old == now {
		return nil
	}
	c.saved = now
	return save(s.path(statusDir, k), false, now)
}

func (s *State) forgetService(k key) error { return forget(s.path(servicesDir, k)) }

func (s *State) forgetChecks(list []key) error {
	var err error
	for _, k := range list {
		err = errors.Join(err, forget(s.path(checksDir, k)), forget(s.path(statusDir, k)))
	}
	return err
}

// save replaces a file by a complete new one of mode 0600. With durable it is there
// after a power failure too.
func save(path string, durable bool, content any) error {
	if path == "" {
		return nil
	}
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, 0o600, durable, bytes.NewReader(text))
}

func forget(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// restore takes up what was kept. What cannot be read is logged and stays where it is.
func (s *State) restore() error {
	err := s.each(servicesDir, func(path string, text []byte) error {
		var f serviceFile
		if err := parse(text, &f, &f.Version); err != nil {
			return err
		}
		if f.Service.Partition != s.cfg.partition() {
			return fmt.Errorf("it is of partition %q", f.Service.Partition)
		}
		i := &serviceItem{Service: &f.Service, token: f.Token, source: f.Source, parent: f.Parent}
		i.change()
		s.services[i.key()] = i
		return nil
	})
	if err != nil {
		return err
	}
	return s.each(checksDir, func(path string, text []byte) error {
		var f checkFile
		if err := parse(text, &f, &f.Version); err != nil {
			return err
		}
		return s.restoreCheck(path, &f)
	})
}

func parse(text []byte, into any, version *int) error {
	if err := json.Unmarshal(text, into); err != nil {
		return err
	}
	if *version > fileVersion {
		return fmt.Errorf("it is of version %d, which this release does not know", *version)
	}
	return nil
}

func (s *State) restoreCheck(path string, f *checkFile) error {
	var owner *catalog.Service
	if f.Check.ServiceID != "" {
		i := s.services[key{f.Check.Namespace, f.Check.ServiceID}]
		if i == nil {
			return forget(path) // the service went away, and the agent died before its checks did
		}
		owner = i.Service
	}
	c := &checkItem{def: f.ChkType, check: f.Check, token: f.Token, source: f.Source}
	if f.Check.Type != maintenanceType {
		var err error
		if c, err = s.newCheck(f.ChkType, owner, f.Token, f.Source); err != nil {
			return err
		}
		c.check.Interval, c.check.Timeout = f.Check.Interval, f.Check.Timeout
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putCheck(c)
	return nil
}

// restoreStatus takes up what was reported to a TTL check before a restart.
func (s *State) restoreStatus(c *checkItem) {
	ttl, ok := c.runner.(*check.TTL)
	path := s.path(statusDir, c.key())
	if !ok || path == "" {
		return
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var f statusFile
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		s.cfg.Log.Error("what was reported to a check before the restart is lost", "check", c.def.CheckID, slog.Any(logging.Err, err))
		return
	}
	if ttl.Restore(check.Status{Status: f.Status, Output: f.Output}, f.Expires); ttl.Expires().Equal(f.Expires) {
		c.check.Status, c.check.Output, c.saved = f.Status, f.Output, f
		c.noteSince(s.cfg.now())
	}
}

// each calls take with every file of a directory, and removes those that were
// being written when the agent died.
func (s *State) each(dir string, take func(path string, text []byte) error) error {
	if s.cfg.DataDir == "" {
		return nil
	}
	dir = filepath.Join(s.cfg.DataDir, dir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.IsDir():
			continue
		case atomicfile.Unfinished(e.Name()):
			err = os.Remove(path)
		default:
			var text []byte
			if text, err = os.ReadFile(path); err == nil {
				err = take(path, text)
			}
		}
		if err != nil {
			s.cfg.Log.Error("what was registered before the restart cannot be read", "file", path, slog.Any(logging.Err, err))
		}
	}
	return nil
}
