// Package snapshot is the archive in which the state of a cluster is saved and
// comes back: a gzip'd tar of meta.json, what the snapshot is; state.bin, the
// state machine's own snapshot; and SHA256SUMS, a line for each of the two
// (spec: agent.md section 17). It does no more than write and read one, and reads none
// of which a single bit was altered.
package snapshot

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
)

// The files of an archive, in the order in which they stand in it.
const (
	metaFile  = "meta.json"
	stateFile = "state.bin"
	sumsFile  = "SHA256SUMS"
)

// Bounds on the files. A state is some hundred bytes for each token.
const (
	maxMeta  = 1 << 20
	maxState = 8<<30 - 1 // what the tar header's octal digits can say
	maxSums  = 1 << 10
)

// maxIndex leaves room: a cluster goes on from the index of what it restores.
const maxIndex = 1 << 60

// version is the only version of meta.json that is written and read.
const version = raft.SnapshotVersion(1)

// checkMeta refuses what no snapshot of ours says about itself.
func checkMeta(m *raft.SnapshotMeta) error {
	switch {
	case m.Version != version:
		return fmt.Errorf("unsupported snapshot version %d", m.Version)
	case m.Size < 0 || m.Size > maxState:
		return fmt.Errorf("a state of %d bytes, at most %d", m.Size, int64(maxState))
	case m.Index > maxIndex:
		return fmt.Errorf("index %d is beyond what a cluster can reach", m.Index)
	}
	return nil
}

// sums are the digests of the files as SHA256SUMS holds them.
type sums struct{ meta, state [sha256.Size]byte }

func (s sums) String() string {
	return fmt.Sprintf("%x  %s\n%x  %s\n", s.meta, metaFile, s.state, stateFile)
}

// Write writes an archive of state, which has to be meta.Size bytes long. What
// w got is no archive if it returns an error.
func Write(w io.Writer, meta *raft.SnapshotMeta, state io.Reader) error {
	if err := checkMeta(meta); err != nil {
		return err
	}
	about, err := json.Marshal(meta)
	if err != nil {
		return err
	}
	z := newCompressor(w)
	out := tar.NewWriter(z)
	file := func(name string, size int64) error {
		return out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: size, Format: tar.FormatUSTAR})
	}
	if err := file(metaFile, int64(len(about))); err != nil {
		return err
	}
	if _, err := out.Write(about); err != nil {
		return err
	}
	if err := file(stateFile, meta.Size); err != nil {
		return err
	}
	digest := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, digest), state); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	text := sums{sha256.Sum256(about), [sha256.Size]byte(digest.Sum(nil))}.String()
	if err := file(sumsFile, int64(len(text))); err != nil { // says so if the state was shorter
		return err
	}
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	return z.Close()
}

// Read reads an archive to its end, writes its state to w and returns what the
// snapshot is. It returns errs.Invalid for what is not exactly one archive, cut
// or altered ones above all; what w got is of no use then. Other errors are w's.
func Read(r io.Reader, w io.Writer) (*raft.SnapshotMeta, error) {
	to := &sink{w: w}
	meta, err := read(r, to)
	switch {
	case to.err != nil:
		return nil, fmt.Errorf("keep the state: %w", to.err)
	case err != nil:
		return nil, errs.Errorf(errs.Invalid, "%w", err)
	}
	return meta, nil
}

// sink remembers its writer's error, to tell it from the reader's.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(p []byte) (n int, err error) {
	n, err = s.w.Write(p)
	if err != nil {
		s.err = err
	}
	return n, err
}

func read(r io.Reader, state io.Writer) (*raft.SnapshotMeta, error) {
	z, err := newDecompressor(r)
	if err != nil {
		return nil, err
	}
	in := tar.NewReader(z)
	about, err := small(in, metaFile, maxMeta)
	if err != nil {
		return nil, err
	}
	meta := &raft.SnapshotMeta{}
	if err := json.Unmarshal(about, meta); err != nil {
		return nil, fmt.Errorf("failed to read snapshot: %s: %w", metaFile, err)
	}
	if err := checkMeta(meta); err != nil {
		return nil, fmt.Errorf("failed to read snapshot: %s: %w", metaFile, err)
	}
	size, err := next(in, stateFile, maxState)
	if err != nil {
		return nil, err
	}
	if size != meta.Size {
		return nil, fmt.Errorf("failed to read snapshot: %s has %d bytes, %s says %d", stateFile, size, metaFile, meta.Size)
	}
	digest := sha256.New()
	if _, err := io.Copy(io.MultiWriter(state, digest), in); err != nil {
		return nil, err
	}
	stored, err := small(in, sumsFile, maxSums)
	if err != nil {
		return nil, err
	}
	want := sums{sha256.Sum256(about), [sha256.Size]byte(digest.Sum(nil))}
	if string(stored) != want.String() {
		return nil, fmt.Errorf("failed to read snapshot: the files are not those that %s says", sumsFile)
	}
	switch _, err := in.Next(); err {
	case io.EOF:
		return meta, z.end()
	case nil:
		return nil, fmt.Errorf("failed to read snapshot: something follows %s", sumsFile)
	default:
		return nil, err
	}
}

// small reads a file of at most limit bytes, which has to be the next one.
func small(in *tar.Reader, name string, limit int64) ([]byte, error) {
	if _, err := next(in, name, limit); err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}

// next goes to the next file, which has to be a plain one with that name, and
// returns its size, at most limit.
func next(in *tar.Reader, name string, limit int64) (int64, error) {
	h, err := in.Next()
	switch {
	case err == io.EOF:
		return 0, fmt.Errorf("failed to read snapshot: %s is missing", name)
	case err != nil:
		return 0, err
	case h.Name != name || h.Typeflag != tar.TypeReg || len(h.PAXRecords) > 0:
		return 0, fmt.Errorf("failed to read snapshot: %q stands where %s has to be", h.Name, name)
	case h.Size > limit:
		return 0, fmt.Errorf("failed to read snapshot: %s has %d bytes, at most %d", name, h.Size, limit)
	}
	return h.Size, nil
}
