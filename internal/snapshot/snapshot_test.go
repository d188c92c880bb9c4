package snapshot

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/errs"
)

var state = bytes.Repeat([]byte("a row, "), 100)

func meta() *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: 1, ID: "2-163-1700000000000", Index: 163, Term: 2, Peers: []byte{0x91},
		Configuration:      raft.Configuration{Servers: []raft.Server{{ID: "a", Address: "10.0.0.4:8300"}}},
		ConfigurationIndex: 1, Size: int64(len(state)),
	}
}

func archive(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, meta(), bytes.NewReader(state)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var got bytes.Buffer
	m, err := Read(bytes.NewReader(archive(t)), &got)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(m, meta()) || !bytes.Equal(got.Bytes(), state) {
		t.Errorf("got %+v and %d bytes", m, got.Len())
	}
}

func TestTheFormatIsTheOneThatToolsKnow(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(archive(t)))
	if err != nil {
		t.Fatal(err)
	}
	in := tar.NewReader(z)
	files := map[string]string{}
	for {
		h, err := in.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(data)
	}
	about := `{"Version":1,"ID":"2-163-1700000000000","Index":163,"Term":2,"Peers":"kQ==",` +
		`"Configuration":{"Servers":[{"Suffrage":0,"ID":"a","Address":"10.0.0.4:8300"}]},"ConfigurationIndex":1,"Size":700}`
	want := map[string]string{
		"meta.json": about, "state.bin": string(state),
		"SHA256SUMS": fmt.Sprintf("%x  meta.json\n%x  state.bin\n", sha256.Sum256([]byte(about)), sha256.Sum256(state)),
	}
	if !reflect.DeepEqual(files, want) {
		t.Errorf("got %q\nwant %q", files, want)
	}
}

func TestAStateOfAnotherLengthCannotBeWritten(t *testing.T) {
	for _, size := range []int64{-1, 0, int64(len(state)) - 1, int64(len(state)) + 1, maxState + 1} {
		m := meta()
		m.Size = size
		if err := Write(io.Discard, m, bytes.NewReader(state)); err == nil {
			t.Errorf("%d bytes for a state of %d", size, len(state))
		}
	}
}

func TestACutArchiveIsRefused(t *testing.T) {
	good := archive(t)
	for n := range good {
		_, err := Read(bytes.NewReader(good[:n]), io.Discard)
		if err == nil || errs.KindOf(err) != errs.Invalid || err.Error() != "failed to decompress snapshot: unexpected EOF" {
			t.Fatalf("%d of %d bytes: %v", n, len(good), err)
		}
	}
}

func TestAnotherWayToCompressTheSameIsRefused(t *testing.T) {
	good := archive(t)
	z, err := gzip.NewReader(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	out, _ := gzip.NewWriterLevel(&again, gzip.BestSpeed)
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	again.Write(good[len(good)-len(seal(make([]byte, sha256.Size))):])
	_, err = Read(&again, io.Discard)
	if err == nil || err.Error() != "failed to read snapshot: its seal is not that of the archive" {
		t.Errorf("got %v", err)
	}
}

func TestAnAlteredByteAnywhereIsRefused(t *testing.T) {
	good := archive(t)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0xff
		if _, err := Read(bytes.NewReader(bad), io.Discard); errs.KindOf(err) != errs.Invalid {
			t.Fatalf("byte %d of %d: %v", i, len(good), err)
		}
	}
}

func TestAnAlteredBitAnywhereIsRefused(t *testing.T) {
	good := archive(t)
	for i := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := Read(bytes.NewReader(bad), io.Discard); errs.KindOf(err) != errs.Invalid {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
}

// file is a file of an archive made by hand.
type file struct {
	name, data string
	change     func(*tar.Header)
}

// pack makes an archive of files.
func pack(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := newCompressor(&b)
	out := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.data))}
		if f.change != nil {
			f.change(h)
		}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, f.data[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(out.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWhatIsNoArchiveIsRefused(t *testing.T) {
	about := func(change func(*raft.SnapshotMeta)) string {
		m := meta()
		change(m)
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	same := about(func(*raft.SnapshotMeta) {})
	content := file{name: stateFile, data: string(state)}
	summed := func(meta string) file {
		return file{name: sumsFile, data: sums{sha256.Sum256([]byte(meta)), sha256.Sum256(state)}.String()}
	}
	whole := func(meta string) []byte { return pack(t, file{name: metaFile, data: meta}, content, summed(meta)) }
	if _, err := Read(bytes.NewReader(whole(same)), io.Discard); err != nil {
		t.Fatalf("a good one: %v", err)
	}
	tests := []struct {
		name    string
		archive []byte
		says    string
	}{
		{"text", []byte("this is not a snapshot"), "failed to decompress snapshot: gzip: invalid header"},
		{"nothing", nil, "failed to decompress snapshot: unexpected EOF"},
		{"an empty archive", pack(t), "meta.json is missing"},
		{"no sums", pack(t, file{name: metaFile, data: same}, content), "SHA256SUMS is missing"},
		{"another order", pack(t, content, file{name: metaFile, data: same}), `"state.bin" stands where meta.json has to be`},
		{"a fourth file", pack(t, file{name: metaFile, data: same}, content, summed(same), content), "something follows SHA256SUMS"},
		{"a path upwards", pack(t, file{name: "../meta.json", data: same}), `"../meta.json" stands where meta.json has to be`},
		{"a link", pack(t, file{name: metaFile, change: func(h *tar.Header) { h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd" }}),
			`"meta.json" stands where`},
		{"extended headers", pack(t, file{name: metaFile, data: same, change: func(h *tar.Header) {
			h.PAXRecords = map[string]string{"LICTOR.x": "1"}
		}}), `"meta.json" stands where`},
		{"a huge meta.json", pack(t, file{name: metaFile, data: strings.Repeat(" ", maxMeta+1)}), "meta.json has 1048577 bytes, at most"},
		{"no JSON", whole("{"), "meta.json: unexpected end of JSON input"},
		{"another version", whole(about(func(m *raft.SnapshotMeta) { m.Version = 2 })), "unsupported snapshot version 2"},
		{"another size", whole(about(func(m *raft.SnapshotMeta) { m.Size-- })), "state.bin has 700 bytes, meta.json says 699"},
		{"a huge size", whole(about(func(m *raft.SnapshotMeta) { m.Size = maxState + 1 })), "a state of 8589934592 bytes"},
		{"an index that leaves no room", whole(about(func(m *raft.SnapshotMeta) { m.Index = 1<<64 - 1 })), "index 18446744073709551615 is beyond"},
		{"other sums", pack(t, file{name: metaFile, data: same}, content, summed(same+" ")), "the files are not those that SHA256SUMS says"},
		{"another state", pack(t, file{name: metaFile, data: same}, file{name: stateFile, data: strings.ToUpper(string(state))}, summed(same)),
			"the files are not those that SHA256SUMS says"},
		{"something behind", append(whole(same), 0), "something follows the archive"},
		{"two archives", append(whole(same), whole(same)...), "something follows the archive"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Read(bytes.NewReader(tc.archive), io.Discard)
			if err == nil || errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v, want %q", err, tc.says)
			}
		})
	}
}

// full is a disk that takes no more.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestAFullDiskIsNoFaultOfTheArchive(t *testing.T) {
	_, err := Read(bytes.NewReader(archive(t)), full{})
	if err == nil || errs.KindOf(err) != errs.Internal || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("got %v", err)
	}
	if err := Write(full{}, meta(), bytes.NewReader(state)); err == nil {
		t.Error("written all the same")
	}
}

func FuzzRead(f *testing.F) {
	good := archive(f)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(pack(f, file{name: metaFile, data: "{}"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		var got bytes.Buffer
		m, err := Read(bytes.NewReader(data), &got)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Fatalf("%v: %v", errs.KindOf(err), err)
			}
			return
		}
		if int64(got.Len()) != m.Size {
			t.Fatalf("%d bytes, not %d", got.Len(), m.Size)
		}
		if err := Write(io.Discard, m, &got); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
	})
}
