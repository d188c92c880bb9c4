package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/lictor/lictor/internal/uuid"
)

// A line ends with its link: the chain, the line's number in it, the hash of the line
// before, and the line's own hash, which is the SHA-256 of every byte before it.
//
//	…,"chain":{"id":"<UUID>","seq":7,"prev":"<64 hex digits>","hash":"<64 hex digits>"}}
const (
	hashDigits = 2 * sha256.Size
	lineEnd    = `"}}`
)

// link is where a chain stands: after line seq, whose hash is hash.
type link struct {
	id   string // of the chain
	seq  uint64
	hash [sha256.Size]byte
}

// newChain returns the beginning of another chain.
func newChain() link { return chainOrigin(uuid.New()) }

// chainOrigin returns where a chain begins: with line 0, which no file has.
func chainOrigin(id string) link { return link{id: id, hash: sha256.Sum256([]byte(id))} }

// seal appends event, which has everything but its chain, as a line.
func (l *link) seal(b, event []byte) []byte {
	start := len(b)
	b = append(b, event...)
	b = append(b, `,"chain":{"id":"`...)
	b = append(b, l.id...)
	b = append(b, `","seq":`...)
	b = strconv.AppendUint(b, l.seq+1, 10)
	b = append(b, `,"prev":"`...)
	b = hex.AppendEncode(b, l.hash[:])
	b = append(b, `","hash":"`...)
	l.seq, l.hash = l.seq+1, sha256.Sum256(b[start:])
	b = hex.AppendEncode(b, l.hash[:])
	return append(b, lineEnd+"\n"...)
}

// sealed is a line as it is read again.
type sealed struct {
	link
	prev  [sha256.Size]byte
	sound bool // the hash is that of the line
}

// parseLine reads the link of a line without its newline. ok is false for what is no
// line of a chain.
func parseLine(line []byte) (s sealed, ok bool) {
	var parsed struct {
		Chain struct {
			ID         string `json:"id"`
			Seq        uint64 `json:"seq"`
			Prev, Hash string
		} `json:"chain"`
	}
	if !bytes.HasSuffix(line, []byte(lineEnd)) || len(line) < hashDigits+len(lineEnd) || json.Unmarshal(line, &parsed) != nil {
		return s, false
	}
	c := parsed.Chain
	end := len(line) - len(lineEnd)
	if string(line[end-hashDigits:end]) != c.Hash || c.Seq == 0 || !uuid.Valid(c.ID) {
		return s, false
	}
	s.id, s.seq = c.ID, c.Seq
	if !decodeHash(&s.hash, c.Hash) || !decodeHash(&s.prev, c.Prev) {
		return s, false
	}
	s.sound = sha256.Sum256(line[:end-hashDigits]) == s.hash
	return s, true
}

func decodeHash(to *[sha256.Size]byte, text string) bool {
	if len(text) != hashDigits {
		return false
	}
	_, err := hex.Decode(to[:], []byte(text))
	return err == nil
}

// head is where a chain ends, as text: its id, the number of its last line, and that line's hash.
func (l link) head() string {
	return l.id + " " + strconv.FormatUint(l.seq, 10) + " " + hex.EncodeToString(l.hash[:])
}

// parseHead reads what head has written.
func parseHead(text string) (l link, ok bool) {
	parts := bytes.Fields([]byte(text))
	if len(parts) != 3 || !uuid.Valid(string(parts[0])) {
		return l, false
	}
	var err error
	l.id = string(parts[0])
	l.seq, err = strconv.ParseUint(string(parts[1]), 10, 64)
	return l, err == nil && decodeHash(&l.hash, string(parts[2]))
}
