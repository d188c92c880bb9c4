package snapshot

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
)

// gzipHeader is how every archive begins: no name, no time, an unknown
// system (RFC 1952 section 2.3). The format's own checksum does not cover it.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

func newCompressor(w io.Writer) *gzip.Writer { return gzip.NewWriter(w) }

// decompressor reads one gzip stream and nothing behind it.
type decompressor struct {
	from *bufio.Reader
	z    *gzip.Reader
}

func newDecompressor(r io.Reader) (*decompressor, error) {
	from := bufio.NewReaderSize(r, 64<<10)
	head, err := from.Peek(len(gzipHeader))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, decompressError(err)
	}
	switch {
	case len(head) < len(gzipHeader) && bytes.HasPrefix(gzipHeader, head):
		return nil, decompressError(io.ErrUnexpectedEOF)
	case !bytes.Equal(head, gzipHeader):
		return nil, decompressError(gzip.ErrHeader)
	}
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

// end verifies that there is nothing more, neither in the stream nor behind it.
func (d *decompressor) end() error {
	n, err := io.CopyN(io.Discard, d, 1)
	if n > 0 {
		return errors.New("failed to read snapshot: something follows the last file")
	}
	if err != io.EOF {
		return err
	}
	if _, err := d.from.ReadByte(); err != io.EOF {
		return errors.New("failed to read snapshot: something follows the archive")
	}
	return nil
}

func decompressError(err error) error {
	return fmt.Errorf("failed to decompress snapshot: %w", err)
}
