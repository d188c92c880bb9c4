package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/snapshot"
)

// savedSnapshot is an archive that was recorded from the API.
func savedSnapshot(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "backup.snap"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// rawSnapshot is what is in it.
func rawSnapshot(t *testing.T) (*raft.SnapshotMeta, []byte) {
	t.Helper()
	var content bytes.Buffer
	meta, err := snapshot.Read(strings.NewReader(savedSnapshot(t)), &content)
	if err != nil {
		t.Fatal(err)
	}
	return meta, content.Bytes()
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestSnapshotSave(t *testing.T) {
	const self = `{"Config":{"Version":"1.19.2","Datacenter":"dc1","NodeName":"srv1"},"Stats":{"consul":{"leader":"true"}}}`
	archive := savedSnapshot(t)
	tests := []struct{ name, flags, query, file, want string }{
		{"a file", "", "", "backup.snap", "backup.snap"},
		{"from any server", "-stale -datacenter dc1", "?dc=dc1&stale=", "backup.snap", "backup.snap"},
		{"with its version and datacenter", "-append-filename version,dc", "", "backup.snap", "backup-1.19.2-dc1.snap"},
		{"with everything in its name", "-append-filename status,node,dc,version", "", "backup", "backup-leader-srv1-dc1-1.19.2"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			api := newAPI(t, answers{"GET /v1/snapshot" + tc.query: archive, "GET /v1/agent/self": self})
			args := append(strings.Fields("snapshot save"), strings.Fields(tc.flags)...)
			got := api.run(t, append(args, filepath.Join(dir, tc.file))...)
			if got.code != 0 || got.out != "Saved and verified snapshot to index 587\n" || got.err != "" {
				t.Fatalf("%+v", got)
			}
			if files := names(t, dir); files != tc.want {
				t.Fatalf("files %s", files)
			}
			path := filepath.Join(dir, tc.want)
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if data, _ := os.ReadFile(path); string(data) != archive {
				t.Error("the file is not what the API said")
			}
		})
	}
}

func TestSnapshotSaveReplacesOnlyByWhatIsSound(t *testing.T) {
	archive := savedSnapshot(t)
	meta, content := rawSnapshot(t)
	content[len(content)/2] ^= 1
	var unsound bytes.Buffer
	if err := snapshot.Write(&unsound, meta, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, answer, err string }{
		{"it was cut", archive[:len(archive)/2],
			"Error saving snapshot: the snapshot that was received is not sound: failed to decompress snapshot: unexpected EOF"},
		{"its rows are damaged", unsound.String(), "Error saving snapshot: the snapshot that was received is not sound: "},
		{"it is refused", "403 Permission denied", "Error saving snapshot: Unexpected response code: 403 (Permission denied)"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			old := write(t, "backup.snap", "the old one")
			got := newAPI(t, answers{"GET /v1/snapshot": tc.answer}).run(t, "snapshot", "save", old)
			if got.code != 1 || got.out != "" || !strings.HasPrefix(got.err, tc.err) {
				t.Errorf("%+v", got)
			}
			if data, err := os.ReadFile(old); err != nil || string(data) != "the old one" || names(t, filepath.Dir(old)) != "backup.snap" {
				t.Errorf("%s: %q, %v", names(t, filepath.Dir(old)), data, err)
			}
		})
	}
}

func TestSnapshotRestoreSendsTheFile(t *testing.T) {
	file := write(t, "backup.snap", "whatever it holds")
	api := newAPI(t, answers{"PUT /v1/snapshot": " "})
	if got := api.run(t, "snapshot", "restore", file); got.code != 0 || got.out != "Restored snapshot\n" || got.err != "" {
		t.Errorf("%+v", got)
	}
	if last := api.last(t); last.body != "whatever it holds" {
		t.Errorf("sent %q", last.body)
	}
}

func TestSnapshotInspect(t *testing.T) {
	archive := write(t, "backup.snap", savedSnapshot(t))
	meta, content := rawSnapshot(t)
	raw := write(t, rawState, string(content))
	about := `{"Version":1,"ID":"` + meta.ID + `","Index":587,"Term":2,"Size":1}`
	if err := os.WriteFile(filepath.Join(filepath.Dir(raw), "meta.json"), []byte(about), 0o600); err != nil {
		t.Fatal(err)
	}
	for golds, args := range map[string][]string{
		"snapshot_inspect":      {archive},
		"snapshot_inspect_keys": {"-kvdetails", "-kvdepth", "3", "-kvfilter", "a", archive},
		"snapshot_inspect_json": {"-format", "json", archive},
		"snapshot_inspect_raw":  {raw},
	} {
		got := world{}.run(t, append([]string{"snapshot", "inspect"}, args...)...)
		if got.code != 0 || got.err != "" {
			t.Errorf("%v: %+v", args, got)
		}
		golden(t, golds, got.out)
	}
}

func TestSnapshotComplaints(t *testing.T) {
	archive := savedSnapshot(t)
	cut, altered := write(t, "cut", archive[:100]), write(t, "altered", archive[:50]+"x"+archive[51:])
	text, alone := write(t, "text", "no snapshot at all"), write(t, rawState, "x")
	tests := []struct {
		name, command string
		play          answers
		err           string // what it begins with
	}{
		{"save without a file", "save", nil, "Missing FILE argument\n"},
		{"save to two", "save a b", nil, "Too many arguments (expected 1, got 2)\n"},
		{"save to nowhere", "save /nosuch/file", nil, "Error saving snapshot: open /nosuch/.tmp-file-"},
		{"save with a strange name", "save -append-filename color x", answers{"GET /v1/agent/self": "{}"},
			`Error saving snapshot: -append-filename knows version, dc, node and status, not "color"`},
		{"restore without a file", "restore", nil, "Missing FILE argument\n"},
		{"restore what is not there", "restore /nosuch", nil, "Error opening snapshot file: open /nosuch: no such file or directory\n"},
		{"restore what is refused", "restore " + cut, answers{"PUT /v1/snapshot": "400 failed to decompress snapshot: unexpected EOF"},
			"Error restoring snapshot: Unexpected response code: 400 (failed to decompress snapshot: unexpected EOF)\n"},
		{"inspect without a file", "inspect", nil, "Missing FILE argument\n"},
		{"inspect what is not there", "inspect /nosuch", nil, "Error opening snapshot file: open /nosuch: no such file or directory\n"},
		{"inspect what was cut", "inspect " + cut, nil, "Error reading snapshot: failed to decompress snapshot: unexpected EOF\n"},
		{"inspect what was altered", "inspect " + altered, nil, "Error reading snapshot: "},
		{"inspect text", "inspect " + text, nil, "Error reading snapshot: failed to decompress snapshot: gzip: invalid header\n"},
		{"inspect a state alone", "inspect " + alone, nil, "Error reading snapshot: open "},
		{"inspect in a strange format", "inspect -format bogus x", nil, "Unknown format: bogus\n"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got := newAPI(t, tc.play).run(t, append([]string{"snapshot"}, strings.Fields(tc.command)...)...)
			if got.code != 1 || got.out != "" || !strings.HasPrefix(got.err, tc.err) {
				t.Errorf("exit code %d, stdout %q, stderr\n%s", got.code, got.out, got.err)
			}
		})
	}
}

func TestProgressIsSilentUntilItTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		p := reportProgress(&said, "Sent", strings.NewReader(strings.Repeat("x", 4000)), 4000)
		read := func(n int64) {
			if _, err := io.CopyN(io.Discard, p, n); err != nil {
				t.Fatal(err)
			}
		}
		read(1000)
		time.Sleep(progressEvery) // of the bubble: no real time passes
		read(1000)
		if said.Len() > 0 {
			t.Errorf("said %q", said.String())
		}
		time.Sleep(time.Second) // of the bubble: no real time passes
		read(1000)
		read(500)
		if said.String() != "Sent 2.9KB of 3.9KB\n" {
			t.Errorf("said %q", said.String())
		}
	})
}

func TestByteSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 344: "344B", 1023: "1023B", 1024: "1KB", 1741: "1.7KB", 5 << 20: "5MB", 3 << 39: "1.5TB", 1 << 62: "4194304TB"} {
		if got := byteSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
