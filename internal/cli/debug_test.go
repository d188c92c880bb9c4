package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var debugged = answers{
	"GET /v1/agent/self":                   `{"Config":{"NodeName":"n1","Version":"1.2.3"}}`,
	"GET /v1/agent/host":                   `{"Memory":{}}`,
	"GET /v1/agent/members":                `[{"Name":"n1"}]`,
	"GET /v1/agent/metrics":                `{"Gauges":[]}`,
	"GET /v1/agent/monitor?loglevel=TRACE": "a line\n",
	"GET /debug/pprof/heap":                "403 Permission denied: token lacks permission 'operator:read'",
	"GET /debug/pprof/goroutine":           "403 Permission denied: token lacks permission 'operator:read'",
}

// collect runs consul debug for less time than its flags allow.
func collect(t *testing.T, play answers, f debugFlags) (out, complaints string, err error) {
	t.Helper()
	var printed, said bytes.Buffer
	env := &Env{In: strings.NewReader(""), Out: &printed, Err: &said, Getenv: func(string) string { return "" }}
	b := &base{}
	b.addr = newAPI(t, play).URL
	err = (&debugger{base: b, env: env, flags: f, files: map[string][]byte{}}).run(t.Context())
	return printed.String(), said.String(), err
}

// unpack reads an archive.
func unpack(t *testing.T, name string) map[string]string {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the archive: %v, %v", info.Mode(), err)
	}
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if dir := path.Dir(path.Clean(header.Name)); !strings.HasPrefix(dir, "d") {
			t.Errorf("%s is not below the archive's own directory", header.Name)
		}
		files[strings.TrimPrefix(header.Name, "d/")] = string(text)
	}
}

func TestDebug(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := debugFlags{duration: 2 * time.Second, interval: 800 * time.Millisecond, output: filepath.Join(dir, "d"), archive: true, capture: captures}
	out, complaints, err := collect(t, debugged, f)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Agent:    n1, version 1.2.3\n", "Capturing interval 3\n", "Saved debug archive: " + filepath.Join(dir, "d.tar.gz") + "\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if want := "Not captured: /debug/pprof/heap: Unexpected response code: 403 (Permission denied: token lacks permission 'operator:read')\n"; strings.Count(complaints, want) != 1 {
		t.Errorf("complaints %s", complaints)
	}
	files := unpack(t, filepath.Join(dir, "d.tar.gz"))
	if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, []string{"agent.json", "consul.log", "host.json", "index.json", "members.json", "metrics.json"}) {
		t.Errorf("files %v", got)
	}
	if files["consul.log"] != "a line\n" || strings.Count(files["metrics.json"], "\n") != 3 || !strings.Contains(files["index.json"], `"NodeName": "n1"`) {
		t.Errorf("%v", files)
	}
	if _, _, err := collect(t, debugged, f); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("an archive that is there is replaced: %v", err)
	}
}

func TestDebugAsADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	f := debugFlags{duration: time.Minute, interval: time.Minute, output: dir, capture: []string{"host", "members"}}
	if _, complaints, err := collect(t, debugged, f); err != nil || complaints != "" {
		t.Fatal(err, complaints)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestComplaintsOfDebug(t *testing.T) {
	for _, c := range []struct{ name, command, want string }{
		{"too short", "debug -duration 1s", "==> Capture validation failed: duration must be longer than 10s\n"},
		{"too often", "debug -interval 1s", "==> Capture validation failed: interval must be longer than 5s\n"},
		{"no interval fits", "debug -duration 10s", "==> Capture validation failed: duration (10s) must be longer than interval (30s)\n"},
		{"unknown", "debug -capture agent -capture nope", "==> Capture validation failed: target not found: nope\n"},
		{"nobody answers as it should", "debug", "Error querying target agent: /v1/agent/self: Unexpected response code: 404 (nothing is played for GET /v1/agent/self)\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := newAPI(t, nil).run(t, strings.Fields(c.command)...); got.code != 1 || got.err != c.want {
				t.Errorf("%+v", got)
			}
		})
	}
}
