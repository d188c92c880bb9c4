package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// event is an event as a reader sees it.
type event struct {
	CreatedAt time.Time `json:"created_at"`
	EventType string    `json:"event_type"`
	Payload   struct {
		ID, Version, Type, Stage string
		Timestamp                time.Time
		Auth                     *struct {
			AccessorID  string `json:"accessor_id"`
			Description string
			CreateTime  time.Time `json:"create_time"`
		}
		Request struct {
			ID, Action, Operation, Endpoint, Host string
			RemoteAddr                            string         `json:"remote_addr"`
			UserAgent                             string         `json:"user_agent"`
			Query                                 map[string]any `json:"query_params"`
			Headers                               map[string]any
			Body                                  any
		}
		Response *struct{ Status, Error string }
		Login    *Login
		Sink     struct {
			Name, SHA256 string
			Count        uint64
		}
	}
	Chain struct{ Seq uint64 }
}

func readEvents(t testing.TB, data []byte) []event {
	t.Helper()
	var events []event
	for line := range bytes.Lines(data) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		events = append(events, e)
	}
	return events
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func open(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func get(n int) *Request {
	return &Request{ID: fmt.Sprint(n), Action: "kv.read", Method: "GET", Endpoint: fmt.Sprintf("/v1/kv/%d", n)}
}

// operate writes both events of n operations.
func operate(t testing.TB, l *Log, n int) {
	t.Helper()
	for i := range n {
		rec, err := l.Begin(get(i), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := rec.Complete(Result{Status: 200}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEventHasTheDocumentedShape(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2030, 1, 2, 3, 4, 5, 600100200, time.UTC)
	l := open(t, Config{Stdout: &out, Now: func() time.Time { return now }, Sinks: []Sink{{Name: "stdout", Type: TypeFile, Path: "/dev/stdout"}}})
	rec, err := l.Begin(&Request{
		ID: "7", Action: "kv.write", Method: "PUT", Endpoint: "/v1/kv/\"\\\n\u2028é\xff", RemoteAddr: "10.0.3.17:40122",
		UserAgent: "Go-http-client/1.1", Host: "127.0.0.1:8500", Query: map[string][]string{"dc": {"dc1"}, "tag": {"a", "b"}},
		Headers: http.Header{"Via": {"1.1 x"}},
	}, &Auth{AccessorID: "b1a5", Description: `token created via login: {"task":"1a2b"}`, CreateTime: now})
	if err != nil {
		t.Fatal(err)
	}
	if err := rec.Complete(Result{Status: 403, Error: "Permission denied", Body: []byte(`{"a":1}`), Login: &Login{AuthMethod: "m", Principal: "p"}}); err != nil {
		t.Fatal(err)
	}
	l.Close()
	lines := bytes.SplitAfter(out.Bytes(), []byte("\n"))
	events := readEvents(t, out.Bytes())
	start, complete := events[0].Payload, events[1].Payload
	if len(events) != 2 || start.Stage != "OperationStart" || complete.Stage != "OperationComplete" || start.ID == complete.ID || start.Response != nil {
		t.Fatalf("got %s", out.Bytes())
	}
	want := `{"created_at":"2030-01-02T03:04:05.6001002Z","event_type":"audit","payload":{"id":"` + start.ID +
		`","version":"1","type":"HTTPEvent","timestamp":"2030-01-02T03:04:05.6001002Z","auth":{"accessor_id":"b1a5","description":"token created via login: {\"task\":\"1a2b\"}",` +
		`"create_time":"2030-01-02T03:04:05.6001002Z"},"request":{"operation":"PUT","endpoint":"/v1/kv/\"\\\u000a\u2028é` + "\uFFFD" + `","remote_addr":"10.0.3.17:40122",` +
		`"user_agent":"Go-http-client/1.1","host":"127.0.0.1:8500","query_params":{"dc":"dc1","tag":["a","b"]},"headers":{"Via":"1.1 x"},"id":"7","action":"kv.write"},` +
		`"stage":"OperationStart"},"chain":{`
	if !strings.HasPrefix(string(lines[0]), want) {
		t.Errorf("got  %s\nwant %s", lines[0], want)
	}
	if r := complete.Response; r == nil || r.Status != "403" || r.Error != "Permission denied" || complete.Login.Principal != "p" || complete.Request.Endpoint != start.Request.Endpoint {
		t.Errorf("got %s", lines[1])
	}
	path := filepath.Join(t.TempDir(), "caught")
	write(t, path, "==> log\n"+out.String()+"2030 [INFO] x\n")
	if r, err := Verify([]string{path}, nil, true); err != nil || len(r.Faults) > 0 || r.Last != 2 {
		t.Errorf("what was caught: %+v %v", r, err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestALongValueIsCutAndSaysSo(t *testing.T) {
	b := appendText(nil, strings.Repeat("é", 3000))
	var s string
	if err := json.Unmarshal(b, &s); err != nil || !strings.HasSuffix(s, "é… and 3952 bytes") || len(s) > maxText+30 {
		t.Errorf("%v %d …%s", err, len(s), s[len(s)-40:])
	}
}

func TestSinksAndFilters(t *testing.T) {
	for _, c := range []struct {
		name             string
		include, exclude []string
		want             string // of the requests below
	}{
		{"everything", nil, nil, "0 1 2 3"},
		{"a method", []string{"GET"}, nil, "0 3"},
		{"an operation", []string{"acl.token.create"}, nil, "1"},
		{"operations", []string{"acl.*"}, nil, "1 2"},
		{"an endpoint", nil, []string{"/v1/status/leader"}, "0 1 2"},
		{"endpoints of a method", nil, []string{"PUT /v1/acl/*"}, "0 2 3"},
		{"included and excluded", []string{"*"}, []string{"acl.*", "GET /v1/kv/*"}, "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := newFilter(c.include, c.exclude)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, r := range []Request{
				{Method: "GET", Endpoint: "/v1/kv/a", Action: "kv.read"},
				{Method: "PUT", Endpoint: "/v1/acl/token", Action: "acl.token.create"},
				{Method: "POST", Endpoint: "/v1/acl/login", Action: "acl.login"},
				{Method: "GET", Endpoint: "/v1/status/leader", Action: "status.leader"},
			} {
				if f.wants(&r) {
					got = append(got, fmt.Sprint(i))
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
	for _, bad := range []string{"", "get /v1/kv", "GET ", "a*b", "GET /v1 x", " acl"} {
		if _, err := newFilter([]string{bad}, nil); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestWrongSinksAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		sink Sink
		want string
	}{
		{"enforced stream", Sink{Type: TypeFile, Path: "/dev/stdout", Enforced: true}, `"enforced" needs a file`},
		{"enforced syslog", Sink{Type: TypeSyslog, Enforced: true}, `"enforced" needs a file`},
		{"no path", Sink{Type: TypeFile}, "path cannot be empty"},
		{"negative size", Sink{Type: TypeFile, Path: "/x", RotateBytes: -1}, "cannot be negative"},
		{"a mode that nobody can write", Sink{Type: TypeFile, Path: "/x", Mode: 0o444}, "mode must let the owner write"},
		{"an address of syslog", Sink{Type: TypeSyslog, Path: "tcp://x:1"}, "path must be unix:///socket or udp://host:port"},
		{"a filter", Sink{Type: TypeFile, Path: "/x", Include: []string{"*x"}}, "star that is not at its end"},
	} {
		if err := c.sink.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestFilesRotateAndTheirChainGoesOn(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "audit")
	sink := Sink{Name: "f", Type: TypeFile, Path: path, RotateBytes: 1000, MaxFiles: 2, Mode: 0o640}
	cfg := Config{KeyFile: filepath.Join(dir, "key"), Sinks: []Sink{sink}}
	hash := ""
	for range 3 {
		l := open(t, cfg)
		for range 10 {
			operate(t, l, 1)
			sync1(l)
		}
		l.Close()
		if hash != "" && hash != l.Hash("x") {
			t.Error("the key is another one after a restart")
		}
		hash = l.Hash("x")
	}
	path += ".log"
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	r, err := Verify([]string{path}, nil, false)
	if err != nil || len(r.Faults) > 0 || len(r.Files) != 3 || r.Last != 60 || r.First == 1 {
		t.Fatalf("%+v %v", r, err)
	}
	if r.Open {
		t.Error("the head beside the file is not used")
	}
	if alone, err := Verify([]string{path, r.Files[1]}, nil, false); err != nil || !alone.Open {
		t.Errorf("without a head: %+v %v", alone, err)
	}
	slicesReversed := []string{r.Files[2], r.Files[0], r.Files[1]}
	if again, err := Verify(slicesReversed, []string{r.Head}, false); err != nil || len(again.Faults) > 0 || again.Head != r.Head {
		t.Errorf("in another order: %+v %v", again, err)
	}
}

// sync1 waits until the writers have nothing left.
func sync1(l *Log) {
	for _, s := range l.sinks {
		done := make(chan struct{})
		s.control <- func() {
			for len(s.queue) > 0 {
				s.commit(<-s.queue)
			}
			close(done)
		}
		<-done
	}
}

func TestVerifyFindsWhatWasDone(t *testing.T) {
	line := func(lines []string, i int) string { return lines[i] }
	for _, c := range []struct {
		name   string
		change func(lines []string) []string
		want   string
	}{
		{"nothing", func(l []string) []string { return l }, ""},
		{"altered", func(l []string) []string { l[4] = strings.Replace(l[4], "GET", "PUT", 1); return l }, "audit.log:5: event 5 was altered"},
		{"cut in the middle", func(l []string) []string { return append(l[:4:4], l[7:]...) }, "audit.log:5: event 8 follows on 4: 3 events are missing"},
		{"cut at the end", func(l []string) []string { return l[:9] }, "the end is cut: 1 event is missing after event 9"},
		{"cut at the beginning", func(l []string) []string { return l[2:] }, ""}, // as rotation does; First says so
		{"moved", func(l []string) []string { l[3], l[4] = line(l, 4), line(l, 3); return l }, "audit.log:5: event 4 stands after 5: it was moved or repeated"},
		{"repeated", func(l []string) []string { return append(l[:4:4], append([]string{l[3]}, l[4:]...)...) }, "audit.log:5: event 4 stands after 4"},
		{"replaced with its hash", func(l []string) []string { return reseal(l, 4) }, "audit.log:6: event 6 does not follow from the line before it"},
		{"another line between", func(l []string) []string { return append(l[:4:4], append([]string{"{}"}, l[4:]...)...) }, "audit.log:5: this is no event of a chain"},
		{"all made anew", func(l []string) []string {
			for i := range l {
				l = reseal(l, i)
			}
			return l
		}, "event 10 is not the one that a known head names"},
		{"emptied", func([]string) []string { return nil }, "which a known head names, is missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "audit.log")
			l := open(t, Config{Sinks: []Sink{{Type: TypeFile, Path: path}}})
			operate(t, l, 5)
			l.Close()
			lines := c.change(strings.Split(strings.TrimSpace(string(readFile(t, path))), "\n"))
			write(t, path, strings.Join(lines, "\n")+strings.Repeat("\n", min(1, len(lines))))
			r, err := Verify([]string{path}, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(r.Faults, "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %s", got)
			}
		})
	}
}

// reseal gives line i other content, and a hash that fits it and the line before.
func reseal(lines []string, i int) []string {
	s, _ := parseLine([]byte(lines[i]))
	at := link{id: s.id, seq: s.seq - 1, hash: s.prev}
	if i > 0 {
		before, _ := parseLine([]byte(lines[i-1]))
		at.hash = before.hash
	}
	event, _, _ := strings.Cut(lines[i], `,"chain":`)
	lines[i] = strings.TrimSpace(string(at.seal(nil, []byte(strings.Replace(event, "GET", "PUT", 1)))))
	return lines
}

func TestATornLineIsRepairedAndNoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	cfg := Config{Sinks: []Sink{{Name: "f", Type: TypeFile, Path: path}}}
	l := open(t, cfg)
	operate(t, l, 2)
	l.Close()
	whole := readFile(t, path)
	write(t, path, string(whole)+`{"created_at":"20`)
	if r, err := Verify([]string{path}, nil, false); err != nil || r.Torn != 17 || len(r.Faults) > 0 {
		t.Errorf("before the repair: %+v %v", r, err)
	}
	l = open(t, cfg)
	operate(t, l, 1)
	l.Close()
	events := readEvents(t, readFile(t, path))
	note := events[4].Payload
	if len(events) != 7 || note.Type != "SinkEvent" || note.Stage != "Repaired" || note.Sink.Count != 17 || note.Sink.Name != "f" || len(note.Sink.SHA256) != 64 {
		t.Errorf("got %+v", note)
	}
	if r, err := Verify([]string{path}, nil, false); err != nil || len(r.Faults) > 0 || r.Last != 7 {
		t.Errorf("after it: %+v %v", r, err)
	}
}

func TestACutEndIsNotedWhenTheAgentStarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	cfg := Config{Sinks: []Sink{{Name: "f", Type: TypeFile, Path: path}}}
	l := open(t, cfg)
	operate(t, l, 3)
	l.Close()
	lines := strings.SplitAfter(string(readFile(t, path)), "\n")
	write(t, path, strings.Join(lines[:4], ""))
	l = open(t, cfg)
	operate(t, l, 1)
	l.Close()
	events := readEvents(t, readFile(t, path))
	if note := events[4].Payload; note.Stage != "Missing" || note.Sink.Count != 2 || events[4].Chain.Seq != 7 {
		t.Errorf("got %+v", events[4])
	}
	r, err := Verify([]string{path}, nil, false)
	if err != nil || len(r.Faults) != 1 || !strings.Contains(r.Faults[0], "2 events are missing") {
		t.Errorf("%+v %v", r, err)
	}
}

func TestAFileOfSomethingElseIsContinued(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	write(t, path, "something else\n")
	l := open(t, Config{Sinks: []Sink{{Type: TypeFile, Path: path}}})
	operate(t, l, 1)
	l.Close()
	lines := strings.Split(string(readFile(t, path)), "\n")
	if lines[0] != "something else" || !strings.Contains(lines[1], `"stage":"Restarted"`) {
		t.Errorf("got %q", lines)
	}
}

func TestReopenGoesOnInANewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	l := open(t, Config{Sinks: []Sink{{Type: TypeFile, Path: path}}})
	operate(t, l, 1)
	sync1(l)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	operate(t, l, 1)
	l.Close()
	r, err := Verify([]string{path, path + ".1"}, nil, false)
	if err != nil || len(r.Faults) > 0 || r.Last != 4 || r.Files[0] != path+".1" {
		t.Errorf("%+v %v", r, err)
	}
}

// fakeOutput takes lines, unless it is told to fail or to block.
type fakeOutput struct {
	bytes.Buffer
	mu    sync.Mutex
	fail  error
	block chan struct{}
	syncs int
}

func (f *fakeOutput) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *fakeOutput) write(lines []byte, ends []int, sync bool) (int, error) {
	if f.block != nil {
		<-f.block
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return 0, f.fail
	}
	if sync {
		f.syncs++
	}
	_, _ = f.Write(lines)
	return len(ends), nil
}

func (f *fakeOutput) reopen() error   { return nil }
func (f *fakeOutput) keep(link) error { return nil }
func (f *fakeOutput) close() error    { return nil }

// on returns a log of sinks with the given outputs.
func on(t testing.TB, enforced bool, outs ...output) *Log {
	l := &Log{cfg: Config{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}}
	for i, out := range outs {
		s := &sink{
			name: fmt.Sprint(i), enforced: enforced, out: out, link: newChain(), queue: make(chan entry, queueLength), control: make(chan func()),
			closing: make(chan struct{}), closed: make(chan struct{}), log: l.cfg.Log, now: l.cfg.now,
		}
		l.sinks = append(l.sinks, s)
		go s.run()
	}
	t.Cleanup(l.Close)
	return l
}

func TestEnforcedRefusesWhatItCannotWrite(t *testing.T) {
	out := &fakeOutput{}
	l := on(t, true, out)
	operate(t, l, 1)
	if out.syncs != 2 {
		t.Errorf("%d syncs", out.syncs)
	}
	out.set(errors.New("no space left on device"))
	rec, err := l.Begin(get(1), nil)
	if !errors.Is(err, ErrUnavailable) || rec.Enforced() {
		t.Fatalf("Begin on a full disk: %v", err)
	}
	if err := rec.Complete(Result{Status: 503}); err != nil {
		t.Errorf("Complete of what was not begun: %v", err)
	}
	out.set(nil)
	rec, err = l.Begin(get(2), nil)
	if err != nil || !rec.Enforced() {
		t.Fatal(err)
	}
	out.set(errors.New("no space left on device"))
	if err := rec.Complete(Result{Status: 200}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("Complete on a full disk: %v", err)
	}
	out.set(nil)
	operate(t, l, 1)
	events := readEvents(t, out.Bytes())
	var stages []string
	for i, e := range events {
		stages = append(stages, e.Payload.Stage)
		if e.Chain.Seq != uint64(i+1) {
			t.Errorf("event %d has number %d", i+1, e.Chain.Seq)
		}
	}
	if got := strings.Join(stages, " "); got != "OperationStart OperationComplete Lost OperationStart Lost OperationStart OperationComplete" {
		t.Errorf("got %s", got)
	}
	if s := l.Stats(); s.Lost != 2 || s.Written != 5 {
		t.Errorf("got %+v", s)
	}
}

func TestBestEffortWaitsForNobodyLong(t *testing.T) {
	out := &fakeOutput{block: make(chan struct{})}
	l := on(t, false, out)
	begun := time.Now()
	const operations = 2 * queueLength // more events than there is room for in the queue and in what is being written
	operate(t, l, operations)
	if took := time.Since(begun); took > 100*patience { // many hundreds of events find no room
		t.Errorf("took %v", took)
	}
	close(out.block)
	sync1(l)
	operate(t, l, 1)
	l.Close()
	lost := l.Stats().Lost
	events := readEvents(t, out.Bytes())
	if lost == 0 || int(lost)+len(events) != 2*operations+2+1 { // and the note
		t.Errorf("%d lost, %d written", lost, len(events))
	}
}

func TestManyAtOnceShareAnFsync(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.json")
	l := open(t, Config{Sinks: []Sink{{Type: TypeFile, Path: path, Enforced: true}, {Type: TypeFile, Path: path + "2", RotateBytes: 5000}}})
	const each = 15 // of 32 that write: the queue of the sink that is not enforced has room for all, however slow the disk
	var working sync.WaitGroup
	for range 32 {
		working.Go(func() { operate(t, l, each) })
	}
	working.Wait()
	on := readEvents(t, readFile(t, path)) // before Close: they are there
	stages := map[string]int{}
	for _, e := range on {
		stages[e.Payload.Stage]++
	}
	if stages["OperationStart"] != 32*each || stages["OperationComplete"] != 32*each || len(on) != 64*each {
		t.Errorf("got %v", stages)
	}
	l.Close()
	for _, p := range []string{path, path + "2"} {
		if r, err := Verify([]string{p}, nil, false); err != nil || len(r.Faults) > 0 || r.Last != 64*each {
			t.Errorf("%+v %v", r, err)
		}
	}
}
