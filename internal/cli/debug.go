package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// captures are what consul debug can collect, in the order in which it says so.
var captures = []string{"agent", "host", "members", "metrics", "logs", "pprof"}

const (
	leastDuration  = 10 * time.Second
	leastInterval  = 5 * time.Second
	maxCapturedLog = 32 << 20 // bytes
)

// debugFlags say what to collect.
type debugFlags struct {
	duration, interval time.Duration
	output             string
	archive            bool
	capture            listFlag
}

func debugCommand() *Command {
	var b base
	var f debugFlags
	return &Command{
		Name: "debug", Short: "Collect what is needed to find out what an agent does",
		Long: "It asks one agent for a while and writes an archive: the host, the agent, the members, metrics, the log and profiles. " +
			"What the token may not see is left out. The archive holds no secrets, but names and addresses.",
		Flags: func(fs *flag.FlagSet) {
			b.client(fs)
			fs.DurationVar(&f.duration, "duration", 2*time.Minute, "how long to collect")
			fs.DurationVar(&f.interval, "interval", 30*time.Second, "time between two looks at metrics and profiles")
			fs.StringVar(&f.output, "output", "", "`path` of what is written, without its extension; by default consul-debug-<time> in this directory")
			fs.BoolVar(&f.archive, "archive", true, "write one compressed archive; else a directory")
			fs.Var(&f.capture, "capture", "what to collect, `one` of "+strings.Join(captures, ", ")+"; may be given several times; all by default")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			if err := noArguments(args); err != nil {
				return err
			}
			if err := f.check(); err != nil {
				return err
			}
			b.answer = f.interval + answerTimeout // a profile comes after the interval that it is of
			return (&debugger{base: &b, env: env, flags: f, files: map[string][]byte{}}).run(ctx)
		},
	}
}

// check completes what was not given.
func (f *debugFlags) check() error {
	switch {
	case f.duration < leastDuration:
		return complain("==> Capture validation failed: duration must be longer than %s", leastDuration)
	case f.interval < leastInterval:
		return complain("==> Capture validation failed: interval must be longer than %s", leastInterval)
	case f.duration < f.interval:
		return complain("==> Capture validation failed: duration (%s) must be longer than interval (%s)", f.duration, f.interval)
	}
	for _, name := range f.capture {
		if !slices.Contains(captures, name) {
			return complain("==> Capture validation failed: target not found: %s", name)
		}
	}
	if len(f.capture) == 0 {
		f.capture = captures
	}
	if f.output == "" {
		f.output = "consul-debug-" + time.Now().UTC().Format("2006-01-02T15-04-05Z")
	}
	return nil
}

// debugger collects files.
type debugger struct {
	*base
	env   *Env
	flags debugFlags

	mu     sync.Mutex // guards what follows
	files  map[string][]byte
	failed []string
}

func (d *debugger) run(ctx context.Context) error {
	self := d.get(ctx, "/v1/agent/self", nil)
	var agent struct {
		Config struct{ Version, NodeName string }
	}
	if self == nil || json.Unmarshal(self, &agent) != nil {
		return complain("Error querying target agent: %s", strings.Join(d.failed, "; "))
	}
	fmt.Fprintf(d.env.Out, "Starting debugger and capturing static information...\n  Agent:    %s, version %s\n  Interval: %s\n  Duration: %s\n  Capture:  %s\n",
		agent.Config.NodeName, agent.Config.Version, d.flags.interval, d.flags.duration, strings.Join(d.flags.capture, ", "))
	if d.wants("agent") {
		d.add("agent.json", self)
	}
	for name, path := range map[string]string{"host": "/v1/agent/host", "members": "/v1/agent/members"} {
		if d.wants(name) {
			d.add(name+".json", d.get(ctx, path, nil))
		}
	}
	d.watch(ctx)
	d.add("index.json", d.index(agent.Config.NodeName, agent.Config.Version))
	path, err := d.write()
	if err != nil {
		return complain("Error saving what was captured: %w", err)
	}
	fmt.Fprintf(d.env.Out, "Saved debug archive: %s\n", path)
	for _, what := range d.failed {
		fmt.Fprintf(d.env.Err, "Not captured: %s\n", what)
	}
	return nil
}

// watch collects what changes, until the time is over or ctx ends.
func (d *debugger) watch(ctx context.Context) {
	end := time.Now().Add(d.flags.duration)
	timed, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	var all sync.WaitGroup
	if d.wants("logs") {
		all.Go(func() { d.follow(timed) })
	}
	if d.wants("metrics") || d.wants("pprof") {
		d.lookAgainAndAgain(ctx, end, &all)
		<-timed.Done()
	}
	all.Wait()
}

// lookAgainAndAgain collects what each interval before end shows. On a busy machine the last may be late.
func (d *debugger) lookAgainAndAgain(ctx context.Context, end time.Time, all *sync.WaitGroup) {
	tick := time.NewTicker(d.flags.interval)
	defer tick.Stop()
	intervals := int((d.flags.duration + d.flags.interval - 1) / d.flags.interval)
	for number := 1; number <= intervals; number++ {
		if number > 1 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		fmt.Fprintf(d.env.Out, "Capturing interval %d\n", number)
		d.look(ctx, number, end, all)
	}
}

// look collects what one interval shows.
func (d *debugger) look(ctx context.Context, number int, end time.Time, all *sync.WaitGroup) {
	if d.wants("metrics") {
		d.add("metrics.json", d.get(ctx, "/v1/agent/metrics", nil))
	}
	if !d.wants("pprof") {
		return
	}
	dir := strconv.Itoa(number) + "/"
	d.add(dir+"heap.prof", d.get(ctx, "/debug/pprof/heap", nil))
	d.add(dir+"goroutine.prof", d.get(ctx, "/debug/pprof/goroutine", nil))
	seconds := int(min(d.flags.interval, time.Until(end)).Seconds()) - 1
	if seconds < 1 {
		return
	}
	all.Go(func() {
		d.add(dir+"profile.prof", d.get(ctx, "/debug/pprof/profile", url.Values{"seconds": {strconv.Itoa(seconds)}}))
	})
}

// follow collects the log.
func (d *debugger) follow(ctx context.Context) {
	answer, err := d.stream(ctx, d.env, call{method: http.MethodGet, path: "/v1/agent/monitor", query: url.Values{"loglevel": {"TRACE"}}})
	if err != nil {
		d.fail("/v1/agent/monitor", err)
		return
	}
	defer answer.Close()
	text, _ := io.ReadAll(io.LimitReader(answer, maxCapturedLog)) // the end of the time ends it
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files["consul.log"] = text // also where nothing was logged
}

func (d *debugger) wants(name string) bool { return slices.Contains(d.flags.capture, name) }

// get returns an answer, nil where there is none.
func (d *debugger) get(ctx context.Context, path string, query url.Values) []byte {
	answer, err := d.stream(ctx, d.env, call{method: http.MethodGet, path: path, query: query})
	if err == nil {
		defer answer.Close()
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(answer, maxAnswer)); err == nil {
			return data
		}
	}
	if ctx.Err() == nil {
		d.fail(path, err)
	}
	return nil
}

func (d *debugger) fail(path string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if text := fmt.Sprintf("%s: %v", path, err); !slices.Contains(d.failed, text) {
		d.failed = append(d.failed, text)
	}
}

// add appends to a file; nothing makes no file.
func (d *debugger) add(name string, data []byte) {
	if len(data) == 0 {
		return
	}
	if strings.HasSuffix(name, ".json") {
		data = append(data, '\n')
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name] = append(d.files[name], data...)
}

// index says what the other files are of.
func (d *debugger) index(node, version string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, _ := json.MarshalIndent(map[string]any{ // cannot fail
		"NodeName": node, "AgentVersion": version, "Interval": d.flags.interval.String(), "Duration": d.flags.duration.String(),
		"Targets": d.flags.capture, "NotCaptured": d.failed, "Time": time.Now().UTC(),
	}, "", "  ")
	return text
}
