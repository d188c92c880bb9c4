package fsm

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/lictor/lictor/internal/state"
)

// Restore implements raft.FSM. The store's content is replaced at once, after the whole
// snapshot was read and its checksum verified; on an error it stays as it was.
func (f *FSM) Restore(r io.ReadCloser) error {
	next := f.store.Restore()
	err := readSnapshot(r, next)
	if err == nil {
		err = next.Commit()
	}
	if err != nil {
		next.Abort()
		return fmt.Errorf("restore snapshot: %w", err)
	}
	return nil
}

func readSnapshot(r io.Reader, into *state.Restore) error {
	return eachRow(r, func(_ *recordReader, row any) error { return into.Put(row) })
}

// eachRow calls do with each row of a snapshot, and then verifies that it was the whole snapshot.
func eachRow(r io.Reader, do func(in *recordReader, row any) error) error {
	in := &recordReader{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	if err := in.header(); err != nil {
		return err
	}
	for count := uint64(0); ; count++ {
		row, err := in.record()
		if err != nil {
			return err
		}
		if row == nil {
			return in.trailer(count)
		}
		if err := do(in, row); err != nil {
			return err
		}
	}
}

// recordReader reads a snapshot and sums what it has read.
type recordReader struct {
	r    *bufio.Reader
	sum  hash.Hash
	body bytes.Buffer // of the last record
	kind uint64       // of the last record
}

// ReadByte implements io.ByteReader.
func (in *recordReader) ReadByte() (byte, error) {
	b, err := in.r.ReadByte()
	if err == nil {
		in.sum.Write([]byte{b})
	}
	return b, err
}

// next returns the next n bytes. They are valid until the next call. A length that lies costs no
// memory.
func (in *recordReader) next(n int) ([]byte, error) {
	in.body.Reset()
	if _, err := io.CopyN(&in.body, in.r, int64(n)); err != nil {
		return nil, asTruncated(err)
	}
	in.sum.Write(in.body.Bytes())
	return in.body.Bytes(), nil
}

var errTruncatedSnapshot = errors.New("truncated")

func asTruncated(err error) error {
	if errors.Is(err, io.EOF) {
		return errTruncatedSnapshot
	}
	return err
}

func (in *recordReader) header() error {
	head, err := in.next(len(snapshotMagic) + 1)
	if err != nil {
		return err
	}
	if string(head[:len(snapshotMagic)]) != snapshotMagic {
		return errors.New("this is not a snapshot")
	}
	if format := head[len(snapshotMagic)]; format != snapshotFormat {
		return fmt.Errorf("unknown format %d: the snapshot was written by a newer version", format)
	}
	return nil
}

// record returns the next row, or nil at the end of the records.
func (in *recordReader) record() (any, error) {
	kind, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, asTruncated(err)
	}
	if kind == endKind {
		return nil, nil
	}
	in.kind = kind
	row, err := newRow(kind)
	if err != nil {
		return nil, err
	}
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, asTruncated(err)
	}
	if size > maxRecordBytes {
		return nil, fmt.Errorf("a record of %d bytes, at most %d", size, maxRecordBytes)
	}
	body, err := in.next(int(size))
	if err != nil {
		return nil, err
	}
	if err := unmarshal(body, row); err != nil {
		return nil, fmt.Errorf("%T: %w", row, err)
	}
	return row, nil
}

// trailer checks the number of records and the checksum.
func (in *recordReader) trailer(count uint64) error {
	want, err := binary.ReadUvarint(in)
	if err != nil {
		return asTruncated(err)
	}
	if want != count {
		return fmt.Errorf("%d records, not the %d that were written", count, want)
	}
	sum := in.sum.Sum(nil)
	stored, err := in.next(len(sum))
	if err != nil {
		return err
	}
	if string(stored) != string(sum) {
		return errors.New("checksum mismatch")
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		return errors.New("bytes after the end")
	}
	return nil
}
