package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/lictor/lictor/internal/logging"
)

// Report is what Verify has found.
type Report struct {
	Files  []string
	Chain  string // its ID
	First  uint64 // number of the first line; more than 1 where older files are gone
	Last   uint64
	Head   string // where the chain ends, to be kept elsewhere and given to a later Verify
	Torn   int    // bytes of a last line that was not written to its end
	Open   bool   // no head says where the chain has to end: a cut end could not be seen
	Faults []string
}

// maxFaults bounds what a report holds of a file that is no trail at all.
const maxFaults = 100

// Verify reads the files of one chain, which for a single path includes those that were set aside for
// it, and reports what is not as it was written. Heads are what earlier reports or the
// file beside the trail say; the chain has to hold each of them. With mixed, lines of the files that are no events are passed over, for
// what was caught from a standard output. Its error is that a file cannot be read.
func Verify(paths []string, heads []string, mixed bool) (*Report, error) {
	v := &verifier{mixed: mixed}
	files, err := v.collect(paths)
	if err != nil {
		return nil, err
	}
	for _, text := range heads {
		l, ok := parseHead(text)
		if !ok {
			return nil, fmt.Errorf("%q is not a head: it has an ID, a number and a hash", text)
		}
		v.heads = append(v.heads, l)
	}
	for i, path := range files {
		v.last = i == len(files)-1
		if err := v.file(path); err != nil {
			return nil, err
		}
	}
	v.finish()
	return &v.report, nil
}

// verifier reads one chain.
type verifier struct {
	report Report
	mixed  bool
	last   bool // the file that is read is the newest
	at     link
	heads  []link
	seen   []bool // of heads
}

// collect returns the files in the order in which they were written.
func (v *verifier) collect(paths []string) ([]string, error) {
	if len(paths) > 1 {
		return inOrder(paths)
	}
	path := paths[0]
	old, err := logging.Rotated(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err == nil || len(old) == 0 {
		old = append(old, path)
	}
	text, err := os.ReadFile(headPath(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if l, ok := parseHead(string(text)); ok {
		v.heads = append(v.heads, l)
	} else if len(text) > 0 {
		v.fault("%s does not say where the chain ends", headPath(path))
	}
	return old, nil
}

// inOrder sorts files by the number of their first line.
func inOrder(paths []string) ([]string, error) {
	first := map[string]uint64{}
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		line, _ := bufio.NewReaderSize(f, 64<<10).ReadBytes('\n')
		_ = f.Close()
		s, _ := parseLine(bytes.TrimSuffix(line, []byte("\n")))
		first[path] = s.seq
	}
	sorted := slices.Clone(paths)
	slices.SortStableFunc(sorted, func(a, b string) int { return cmp.Compare(first[a], first[b]) })
	return sorted, nil
}

func (v *verifier) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	v.report.Files = append(v.report.Files, path)
	r := bufio.NewReaderSize(f, 256<<10)
	for n := 1; ; n++ {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if errors.Is(err, io.EOF) {
			v.end(filepath.Base(path), n, line)
			return nil
		}
		v.line(filepath.Base(path), n, line[:len(line)-1])
	}
}

// end deals with what follows the last newline of a file.
func (v *verifier) end(name string, n int, rest []byte) {
	switch {
	case len(rest) == 0 || v.mixed:
	case v.last:
		v.report.Torn = len(rest)
	default:
		v.fault("%s:%d: the line has no end", name, n)
	}
}

func (v *verifier) line(name string, n int, line []byte) {
	s, ok := parseLine(line)
	if !ok {
		if !v.mixed || bytes.HasPrefix(line, []byte(`{"created_at":`)) {
			v.fault("%s:%d: this is no event of a chain", name, n)
		}
		return
	}
	fault := func(format string, args ...any) {
		v.fault("%s:%d: event %d %s", name, n, s.seq, fmt.Sprintf(format, args...))
	}
	begins := v.at.id == ""
	switch {
	case !s.sound:
		fault("was altered: its hash is not that of the line")
	case begins:
		v.report.Chain, v.report.First = s.id, s.seq
		if origin := chainOrigin(s.id); s.seq == 1 && s.prev != origin.hash {
			fault("was altered: it does not follow from the beginning of the chain")
		}
	case s.id != v.at.id:
		fault("is of another chain")
	case s.seq > v.at.seq+1:
		fault("follows on %d: %s missing", v.at.seq, count(s.seq-v.at.seq-1))
	case s.seq <= v.at.seq:
		fault("stands after %d: it was moved or repeated", v.at.seq)
	case s.prev != v.at.hash:
		fault("does not follow from the line before it, which was replaced")
	}
	v.at = s.link
	for i, h := range v.heads {
		if h.id == s.id && h.seq == s.seq {
			v.mark(i)
			if h.hash != s.hash {
				fault("is not the one that a known head names")
			}
		}
	}
}

func count(n uint64) string {
	if n == 1 {
		return "1 event is"
	}
	return fmt.Sprintf("%d events are", n)
}

func (v *verifier) mark(i int) {
	if v.seen == nil {
		v.seen = make([]bool, len(v.heads))
	}
	v.seen[i] = true
}

// finish compares the chain's end with what is known of it.
func (v *verifier) finish() {
	v.report.Last = v.at.seq
	if v.at.id != "" {
		v.report.Head = v.at.head()
	}
	v.report.Open = len(v.heads) == 0
	for i, h := range v.heads {
		switch {
		case v.seen != nil && v.seen[i], h.id == v.at.id && h.seq < v.report.First:
		case h.id == v.at.id && h.seq > v.at.seq:
			v.fault("the end is cut: %s missing after event %d", count(h.seq-v.at.seq), v.at.seq)
		default:
			v.fault("event %d of chain %s, which a known head names, is missing", h.seq, h.id)
		}
	}
}

func (v *verifier) fault(format string, args ...any) {
	if len(v.report.Faults) < maxFaults {
		v.report.Faults = append(v.report.Faults, fmt.Sprintf(format, args...))
	}
}
