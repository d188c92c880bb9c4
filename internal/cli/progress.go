package cli

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// progressEvery is how often a transfer that takes long says how far it is.
const progressEvery = 5 * time.Second

// progress says how far a transfer is.
type progress struct {
	io.Reader
	to          io.Writer
	done        string // what happens to the bytes: Received, Sent
	count, size int64  // size is 0 where nobody knows it
	next        time.Time
}

// reportProgress returns r with words about how much was read, on to, while it takes long.
func reportProgress(to io.Writer, done string, r io.Reader, size int64) *progress {
	return &progress{Reader: r, to: to, done: done, size: size, next: time.Now().Add(progressEvery)}
}

// Read implements io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.count += int64(n)
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(progressEvery)
		of := ""
		if p.size > 0 {
			of = fmt.Sprintf(" of %s", byteSize(p.size))
		}
		fmt.Fprintf(p.to, "%s %s%s\n", p.done, byteSize(p.count), of)
	}
	return n, err
}

// byteSize returns a number of bytes for people: 344B, 1.7KB, 5KB.
func byteSize(n int64) string {
	size, unit := float64(n), 0
	units := []string{"B", "KB", "MB", "GB", "TB"}
	for size >= 1024 && unit < len(units)-1 {
		size /= 1024
		unit++
	}
	text := strconv.FormatFloat(size, 'f', 1, 64)
	if len(text) > 2 && text[len(text)-2:] == ".0" {
		text = text[:len(text)-2]
	}
	return text + units[unit]
}
