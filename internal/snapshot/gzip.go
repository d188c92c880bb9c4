package snapshot

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

// An archive is two gzip members (RFC 1952 section 2.2), which every tool reads as
// one stream: the tar, and behind it the seal, an empty member whose comment is
// the digest of the first. Without it some altered bytes would go unnoticed: what
// compression leaves unused, and another way to write the same content.

// seal returns the second member for a first with digest sum.
func seal(sum []byte) []byte {
	const comment = 0x10
	b := []byte{0x1f, 0x8b, 8, comment, 0, 0, 0, 0, 0, 0xff}
	b = fmt.Appendf(b, "sha256 %x\x00", sum)
	b = append(b, 1, 0, 0, 0xff, 0xff)       // a last block of no bytes (RFC 1951 section 3.2.4)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // their checksum and their number
}

// compressor writes an archive's bytes for those of its tar.
type compressor struct {
	*gzip.Writer
	to  io.Writer
	sum hash.Hash
}

func newCompressor(w io.Writer) *compressor {
	sum := sha256.New()
	return &compressor{gzip.NewWriter(io.MultiWriter(w, sum)), w, sum}
}

// Close ends the archive.
func (c *compressor) Close() error {
	if err := c.Writer.Close(); err != nil {
		return err
	}
	_, err := c.to.Write(seal(c.sum.Sum(nil)))
	return err
}

// decompressor reads an archive's tar.
type decompressor struct {
	from *summed
	z    *gzip.Reader
}

func newDecompressor(r io.Reader) (*decompressor, error) {
	from := &summed{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New()}
	z, err := gzip.NewReader(from)
	if err != nil {
		return nil, decompressError(err)
	}
	z.Multistream(false)
	return &decompressor{from: from, z: z}, nil
}

// Read implements io.Reader. Errors say that they are those of decompression.
func (d *decompressor) Read(p []byte) (int, error) {
	n, err := d.z.Read(p)
	if err != nil && err != io.EOF {
		err = decompressError(err)
	}
	return n, err
}

// end verifies that there is nothing more of the tar, the seal, and nothing behind it.
func (d *decompressor) end() error {
	n, err := io.CopyN(io.Discard, d, 1)
	if n > 0 {
		return errors.New("failed to read snapshot: something follows the last file")
	}
	if err != io.EOF {
		return err
	}
	want := seal(d.from.digest())
	got := make([]byte, len(want))
	if _, err := io.ReadFull(d.from.r, got); err != nil {
		return decompressError(err)
	}
	if !bytes.Equal(got, want) {
		return errors.New("failed to read snapshot: its seal is not that of the archive")
	}
	if _, err := d.from.r.ReadByte(); err != io.EOF {
		return errors.New("failed to read snapshot: something follows the archive")
	}
	return nil
}

func decompressError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("failed to decompress snapshot: %w", err)
}

// summed is a reader of single bytes, so that nothing is read beyond the end of a
// member, with the digest of what was read.
type summed struct {
	r       *bufio.Reader
	sum     hash.Hash
	pending [4096]byte // not in sum yet
	n       int
}

// ReadByte implements io.ByteReader.
func (s *summed) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		if s.n == len(s.pending) {
			s.flush()
		}
		s.pending[s.n] = b
		s.n++
	}
	return b, err
}

// Read implements io.Reader.
func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.flush()
	s.sum.Write(p[:n])
	return n, err
}

func (s *summed) flush() {
	s.sum.Write(s.pending[:s.n])
	s.n = 0
}

func (s *summed) digest() []byte {
	s.flush()
	return s.sum.Sum(nil)
}
