// Package logging writes an agent's log as slog records in the line format that Consul's
// operators know (spec: agent.md section 7), and keeps credentials out of it: a Secret
// cannot be printed, and no value can break out of its line.
package logging

import (
	"errors"
	"io"
	"log/slog"
	"sync"
)

// Keys of the pairs that more than one package logs. Use these, so that one search finds all.
const (
	Node       = "node"
	Service    = "service"
	Partition  = "partition"
	Namespace  = "namespace"
	AccessorID = "accessor_id"
	Index      = "index"
	Err        = "error"
)

// New returns a logger that writes to out and to whatever else cfg names. Its level can be
// changed through the Level; the Closer closes what New opened, not out. It fails
// for an unknown level or facility, and if the file or syslog cannot be opened.
func New(cfg Config, out io.Writer) (*slog.Logger, *Level, io.Closer, error) {
	level := new(Level)
	if err := level.Set(cfg.Level); err != nil {
		return nil, nil, nil, err
	}
	o := &output{}
	o.add(plainWriter{out}, nil)
	if cfg.File != "" {
		f, err := OpenFile(FileConfig{
			Path: logPath(cfg.File), Mode: 0o640,
			RotateBytes: cfg.RotateBytes, RotateDuration: cfg.RotateDuration, MaxFiles: cfg.RotateMaxFiles,
		})
		if err != nil {
			return nil, nil, nil, err
		}
		o.add(plainWriter{f}, f)
	}
	if cfg.Syslog {
		w, c, err := dialSyslog(cfg.SyslogFacility)
		if err != nil {
			return nil, nil, nil, errors.Join(err, o.Close())
		}
		o.add(w, c)
	}
	return slog.New(&handler{out: o, level: level, json: cfg.JSON}), level, o, nil
}

// Named returns l for a part of the program. Names of parts inside parts are joined with
// dots: agent, agent.server, agent.server.raft.
func Named(l *slog.Logger, name string) *slog.Logger {
	return l.With(slog.Any(moduleKey, module(name)))
}

// module is how Named passes a name through whatever handlers wrap ours.
type module string

const moduleKey = "@module"

// output is where finished lines go. Lines are written whole and one at a time.
type output struct {
	followers followers

	mu      sync.Mutex // guards writing to each of writers
	writers []lineWriter
	closers []io.Closer
}

// lineWriter takes one finished line of the given level.
type lineWriter interface {
	writeLine(level slog.Level, line []byte) error
}

type plainWriter struct{ io.Writer }

func (w plainWriter) writeLine(_ slog.Level, line []byte) error {
	_, err := w.Write(line)
	return err
}

func (o *output) add(w lineWriter, c io.Closer) {
	o.writers = append(o.writers, w)
	if c != nil {
		o.closers = append(o.closers, c)
	}
}

// write gives the line to every writer, also when one of them fails.
func (o *output) write(level slog.Level, line []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var first error
	for _, w := range o.writers {
		if err := w.writeLine(level, line); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Close closes the file and the connection to syslog, if there are any.
func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []error
	for _, c := range o.closers {
		all = append(all, c.Close())
	}
	o.closers, o.writers = nil, nil
	return errors.Join(all...)
}
