package logging

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// HCLog lends l to a library that logs through hclog. Its levels, names and pairs become
// l's own; the level is l's and cannot be changed by the library.
func HCLog(l *slog.Logger) hclog.Logger { return &bridge{log: l, root: l} }

type bridge struct {
	log  *slog.Logger
	root *slog.Logger // what HCLog was given, for ResetNamed
	name string       // below root
	args []any        // of With
}

// fromHCLog maps hclog's levels; NoLevel is INFO, as in hclog itself.
func fromHCLog(l hclog.Level) slog.Level {
	switch l {
	case hclog.Trace:
		return LevelTrace
	case hclog.Debug:
		return slog.LevelDebug
	case hclog.Warn:
		return slog.LevelWarn
	case hclog.Error:
		return slog.LevelError
	}
	return slog.LevelInfo
}

func (b *bridge) Log(level hclog.Level, msg string, args ...any) {
	if l := fromHCLog(level); level != hclog.Off && b.enabled(l) {
		b.log.Log(context.Background(), l, msg, pairs(args)...)
	}
}

func (b *bridge) enabled(l slog.Level) bool { return b.log.Enabled(context.Background(), l) }

func (b *bridge) Trace(msg string, args ...any) { b.Log(hclog.Trace, msg, args...) }
func (b *bridge) Debug(msg string, args ...any) { b.Log(hclog.Debug, msg, args...) }
func (b *bridge) Info(msg string, args ...any)  { b.Log(hclog.Info, msg, args...) }
func (b *bridge) Warn(msg string, args ...any)  { b.Log(hclog.Warn, msg, args...) }
func (b *bridge) Error(msg string, args ...any) { b.Log(hclog.Error, msg, args...) }

func (b *bridge) IsTrace() bool { return b.enabled(LevelTrace) }
func (b *bridge) IsDebug() bool { return b.enabled(slog.LevelDebug) }
func (b *bridge) IsInfo() bool  { return b.enabled(slog.LevelInfo) }
func (b *bridge) IsWarn() bool  { return b.enabled(slog.LevelWarn) }
func (b *bridge) IsError() bool { return b.enabled(slog.LevelError) }

func (b *bridge) ImpliedArgs() []any { return b.args }
func (b *bridge) Name() string       { return b.name }

func (b *bridge) With(args ...any) hclog.Logger {
	c := *b
	c.args = append(c.args[:len(c.args):len(c.args)], args...)
	c.log = b.log.With(pairs(args)...)
	return &c
}

func (b *bridge) Named(name string) hclog.Logger {
	c := *b
	c.name = strings.Trim(b.name+"."+name, ".")
	c.log = Named(b.log, name)
	return &c
}

func (b *bridge) ResetNamed(name string) hclog.Logger {
	c := &bridge{log: b.root.With(pairs(b.args)...), root: b.root, args: b.args}
	return c.Named(name)
}

// SetLevel does nothing: the operator chose the level.
func (b *bridge) SetLevel(hclog.Level) {}

func (b *bridge) GetLevel() hclog.Level {
	for _, l := range []hclog.Level{hclog.Trace, hclog.Debug, hclog.Info, hclog.Warn} {
		if b.enabled(fromHCLog(l)) {
			return l
		}
	}
	return hclog.Error
}

func (b *bridge) StandardLogger(opts *hclog.StandardLoggerOptions) *log.Logger {
	return log.New(b.StandardWriter(opts), "", 0)
}

func (b *bridge) StandardWriter(opts *hclog.StandardLoggerOptions) io.Writer {
	w := &lines{to: b, level: hclog.Info}
	if opts != nil {
		w.infer = opts.InferLevels
		if opts.ForceLevel != hclog.NoLevel {
			w.level, w.infer = opts.ForceLevel, false
		}
	}
	return w
}

// lines turns the lines of a standard logger into records. With infer, a line's level is
// what it begins with: "[WARN] memberlist: …".
type lines struct {
	to    *bridge
	level hclog.Level
	infer bool
}

func (w *lines) Write(line []byte) (int, error) {
	level, msg := w.level, string(bytes.TrimRight(line, " \t\r\n"))
	if name, rest, ok := strings.Cut(msg, "]"); ok && w.infer && strings.HasPrefix(name, "[") {
		if l := hclog.LevelFromString(strings.TrimPrefix(name, "[")); l != hclog.NoLevel {
			level, msg = l, strings.TrimSpace(rest)
		} else if name == "[ERR" {
			level, msg = hclog.Error, strings.TrimSpace(rest)
		}
	}
	w.to.Log(level, msg)
	return len(line), nil
}

// pairs renders the values that only hclog knows how to.
func pairs(args []any) []any {
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args = append([]any(nil), args...)
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
	}
	return args
}
