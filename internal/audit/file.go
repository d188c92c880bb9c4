package audit

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/lictor/lictor/internal/logging"
)

// maxLine is more than a line can have: what is read to find a file's last one.
const maxLine = 1 << 20

// output is where the lines of a sink go.
type output interface {
	// write takes lines, each of which ends at one of ends, and returns how many of them it
	// took. With sync they are on disk when it returns.
	write(lines []byte, ends []int, sync bool) (int, error)
	// reopen begins anew after a failure, or when somebody has moved the file.
	reopen() error
	// keep remembers where the chain ends.
	keep(l link) error
	close() error
}

// found is what a sink begins with: where its chain ended, and what was wrong with that.
type found struct {
	link
	torn    []byte // a line that was not written to its end, and is removed
	missing uint64 // lines that the file had when the agent last looked
	foreign bool   // the file's last line is of no chain
}

// file is a file of lines, with a file beside it that says where its chain ends.
type file struct {
	*logging.File
	head string // path
}

func openFile(c Sink) (*file, found, error) {
	path := LogPath(c.Path)
	at, err := resume(path)
	if err != nil {
		return nil, at, err
	}
	f, err := logging.OpenFile(logging.FileConfig{
		Path: path, Mode: c.Mode, RotateBytes: c.RotateBytes, RotateDuration: c.RotateDuration, MaxFiles: c.MaxFiles, Now: c.now,
	})
	return &file{File: f, head: headPath(path)}, at, err
}

// LogPath returns the file that the path of a sink means: .log where the name has no extension.
func LogPath(path string) string {
	if filepath.Ext(path) == "" {
		return path + ".log"
	}
	return path
}

func headPath(path string) string { return path + ".head" }

func (f *file) write(lines []byte, ends []int, sync bool) (int, error) {
	if err := f.Append(lines, sync); err != nil {
		return 0, err
	}
	return len(ends), nil
}

func (f *file) reopen() error { return f.Reopen() }

func (f *file) close() error { return f.Close() }

// keep replaces the head at once, so that a crash leaves the old one or the new one.
func (f *file) keep(l link) error {
	next := f.head + ".new"
	if err := os.WriteFile(next, []byte(l.head()+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(next, f.head)
}

// resume finds where the chain of the file at path ended, and removes a torn last line. A new file has a
// new chain.
func resume(path string) (found, error) {
	at, err := lastLink(path)
	if err != nil {
		return at, err
	}
	text, err := os.ReadFile(headPath(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return at, err
	}
	head, ok := parseHead(string(text))
	switch {
	case ok && (at.id == "" || at.id == head.id) && head.seq > at.seq:
		if !at.foreign {
			at.missing = head.seq - at.seq
		}
		at.link = head
	case at.id == "":
		at.link = newChain()
	}
	return at, nil
}

// lastLink reads the last line of the file, or where that is empty, of the last one that was set aside.
func lastLink(path string) (at found, err error) {
	last, torn, err := lastLine(path)
	if err != nil {
		return at, err
	}
	at.torn = torn
	if len(torn) > 0 {
		info, err := os.Stat(path)
		if err == nil {
			err = os.Truncate(path, info.Size()-int64(len(torn)))
		}
		if err != nil {
			return at, err
		}
	}
	if last == nil {
		old, err := logging.Rotated(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return at, err
		}
		if len(old) == 0 {
			return at, nil
		}
		if last, _, err = lastLine(old[len(old)-1]); err != nil {
			return at, err
		}
	}
	s, ok := parseLine(last)
	at.link, at.foreign = s.link, !ok && last != nil
	if at.foreign {
		at.link = link{}
	}
	return at, nil
}

// lastLine returns the last whole line of a file without its newline, nil if there is none, and what comes after it.
func lastLine(path string) (line, torn []byte, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil, err
	}
	tail := make([]byte, min(info.Size(), 2*maxLine))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	end := bytes.LastIndexByte(tail, '\n')
	torn = tail[end+1:]
	if end < 0 {
		return nil, torn, nil
	}
	return tail[bytes.LastIndexByte(tail[:end], '\n')+1 : end], torn, nil
}

// notes are the events by which a chain says what its file has been through.
func (a *found) notes() []note {
	var notes []note
	if len(a.torn) > 0 {
		sum := sha256.Sum256(a.torn)
		notes = append(notes, note{stage: "Repaired", count: uint64(len(a.torn)), hash: hex.EncodeToString(sum[:])})
	}
	if a.missing > 0 {
		notes = append(notes, note{stage: "Missing", count: a.missing})
	}
	if a.foreign {
		notes = append(notes, note{stage: "Restarted"})
	}
	return notes
}

// stream is an open file that has no end and no past, such as the standard output.
type stream struct{ io.Writer }

func (s stream) write(lines []byte, ends []int, _ bool) (int, error) {
	_, err := s.Write(lines)
	if err != nil {
		return 0, err
	}
	return len(ends), nil
}

func (stream) reopen() error   { return nil }
func (stream) keep(link) error { return nil }
func (stream) close() error    { return nil }

// openOutput opens what a sink writes to.
func openOutput(c Sink, o Config) (output, found, error) {
	fresh := found{link: newChain()}
	switch {
	case c.Type == TypeSyslog:
		s, err := dialSyslog(c.Path, o.Host, o.now)
		return s, fresh, err
	case c.Path == "/dev/stdout":
		return stream{cmp.Or[io.Writer](o.Stdout, os.Stdout)}, fresh, nil
	case c.Path == "/dev/stderr":
		return stream{cmp.Or[io.Writer](o.Stderr, os.Stderr)}, fresh, nil
	case c.Path == os.DevNull:
		return stream{io.Discard}, fresh, nil
	}
	return openFile(c)
}

// IsStream reports whether the path of a sink is no regular file but a stream of the process.
func IsStream(path string) bool {
	return path == os.DevNull || path == "/dev/stdout" || path == "/dev/stderr" || strings.HasPrefix(path, "/dev/fd/")
}
