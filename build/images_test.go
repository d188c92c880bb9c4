// Package build holds the images, and checks of them that need no engine.
package build

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/version"
)

// instruction is one of a Dockerfile, such as COPY --from=build /out/ /.
type instruction struct {
	name string
	args string
}

// flag returns the value of --name.
func (i instruction) flag(name string) string {
	for _, word := range strings.Fields(i.args) {
		if value, ok := strings.CutPrefix(word, "--"+name+"="); ok {
			return value
		}
	}
	return ""
}

// words are the arguments without flags.
func (i instruction) words() []string {
	return slices.DeleteFunc(strings.Fields(i.args), func(w string) bool { return strings.HasPrefix(w, "--") })
}

// stage is what begins with a FROM.
type stage struct {
	name, base   string
	from         instruction
	instructions []instruction
}

func (s *stage) all(name string) []instruction {
	return slices.DeleteFunc(slices.Clone(s.instructions), func(i instruction) bool { return i.name != name })
}

// last returns the instruction that counts, where several do not add up.
func (s *stage) last(name string) string {
	list := s.all(name)
	if len(list) == 0 {
		return ""
	}
	return list[len(list)-1].args
}

// parse reads a Dockerfile into its stages.
func parse(t *testing.T, file string) []*stage {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var stages []*stage
	pending := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if more, ok := strings.CutSuffix(line, `\`); ok {
			pending += more
			continue
		}
		name, args, _ := strings.Cut(pending+line, " ")
		pending = ""
		i := instruction{strings.ToUpper(name), strings.TrimSpace(args)}
		if i.name == "FROM" {
			words := i.words()
			s := &stage{base: words[0], from: i}
			if len(words) == 3 {
				s.name = words[2]
			}
			stages = append(stages, s)
			continue
		}
		if len(stages) == 0 {
			t.Fatalf("%s: %s before FROM", file, i.name)
		}
		stages[len(stages)-1].instructions = append(stages[len(stages)-1].instructions, i)
	}
	return stages
}

// images are the Dockerfiles, and the commands that each holds.
var images = map[string][]string{
	"consul.Dockerfile":     {"consul", "consul-ecs"},
	"consul-ecs.Dockerfile": {"consul-ecs"},
	"lictor.Dockerfile":     {"lictor"},
}

// each runs a test for each image.
func each(t *testing.T, test func(t *testing.T, name string, stages []*stage)) {
	files, err := filepath.Glob("*.Dockerfile")
	if err != nil || len(files) != len(images) {
		t.Fatalf("%v, %v", files, err)
	}
	for _, name := range files {
		t.Run(name, func(t *testing.T) { test(t, name, parse(t, name)) })
	}
}

var pinned = regexp.MustCompile(`^[a-z0-9./-]+:[0-9]+\.[0-9]+\.[0-9]+$`)

func TestBasesArePinned(t *testing.T) {
	module := read(t, "../go.mod")
	each(t, func(t *testing.T, _ string, stages []*stage) {
		for _, s := range stages {
			if s.base != "scratch" && !pinned.MatchString(s.base) {
				t.Errorf("FROM %s is not pinned to a release", s.base)
			}
			if release, ok := strings.CutPrefix(s.base, "golang:"); ok && !strings.Contains(module, "\ngo "+release+"\n") {
				t.Errorf("FROM %s is not the Go of go.mod", s.base)
			}
		}
	})
}

func TestImagesAreBuiltForBothArchitectures(t *testing.T) {
	each(t, func(t *testing.T, name string, stages []*stage) {
		if len(stages) != 2 {
			t.Fatalf("%d stages", len(stages))
		}
		if p := stages[0].from.flag("platform"); p != "$BUILDPLATFORM" {
			t.Errorf("the compiler runs on %q", p)
		}
		if p := stages[1].from.flag("platform"); p != "" {
			t.Errorf("the image is for %q only", p)
		}
		build := ""
		for _, i := range stages[0].all("RUN") {
			if strings.Contains(i.args, "go build") {
				build = i.args
			}
		}
		want := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=$TARGETARCH", "-trimpath", "-s -w", "internal/version.BuildDate=$BUILD_DATE"}
		for _, command := range images[name] {
			want = append(want, "./cmd/"+command)
		}
		for _, text := range want {
			if !strings.Contains(build, text) {
				t.Errorf("no %s in %s", text, build)
			}
		}
		if strings.Count(build, "./cmd/") != len(images[name]) {
			t.Errorf("other commands in %s", build)
		}
		if args := stages[0].all("ARG"); !slices.ContainsFunc(args, func(i instruction) bool { return i.args == "TARGETARCH" }) {
			t.Error("TARGETARCH is not declared, and empty")
		}
	})
	if !strings.Contains(read(t, "../internal/version/version.go"), "var BuildDate = ") {
		t.Error("there is no BuildDate to set")
	}
}

func TestImagesRunWithoutPrivileges(t *testing.T) {
	each(t, func(t *testing.T, name string, stages []*stage) {
		final := stages[len(stages)-1]
		if user := final.last("USER"); user != "65532:65532" {
			t.Errorf("it runs as %q: the containers of a task share files, and one user", user)
		}
		var entry []string
		if err := json.Unmarshal([]byte(final.last("ENTRYPOINT")), &entry); err != nil || len(entry) != 1 || !slices.Contains(images[name], path.Base(entry[0])) {
			t.Errorf("ENTRYPOINT %s: %v", final.last("ENTRYPOINT"), err)
		}
		for _, s := range stages {
			if len(s.all("ADD")) > 0 {
				t.Error("ADD fetches and unpacks: use COPY")
			}
		}
		if final.last("VOLUME") == "" {
			return
		}
		var volumes []string
		if err := json.Unmarshal([]byte(final.last("VOLUME")), &volumes); err != nil || volumes[0] != "/consul" {
			t.Errorf("VOLUME %s: %v", final.last("VOLUME"), err)
		}
		owned := 0
		for _, i := range final.all("COPY") {
			if i.flag("chown") == "65532:65532" {
				owned++
			}
		}
		if owned != len(volumes) {
			t.Errorf("%d volumes, %d with an owner", len(volumes), owned)
		}
	})
}

func TestCopiesHaveASource(t *testing.T) {
	var context []string // what .dockerignore leaves
	for line := range strings.Lines(read(t, "../.dockerignore")) {
		if kept, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			context = append(context, kept)
		}
	}
	each(t, func(t *testing.T, _ string, stages []*stage) {
		names := map[string]bool{}
		for _, s := range stages {
			for _, i := range s.all("COPY") {
				if from := i.flag("from"); from != "" {
					if !names[from] {
						t.Errorf("COPY from %s, which is no earlier stage", from)
					}
					continue
				}
				words := i.words()
				for _, source := range words[:len(words)-1] {
					if _, err := os.Stat(filepath.Join("..", source)); err != nil || !slices.Contains(context, source) {
						t.Errorf("COPY %s: %v; .dockerignore leaves %v", source, err, context)
					}
				}
			}
			names[s.name] = true
		}
	})
}

func TestImagesSayWhatTheyAre(t *testing.T) {
	each(t, func(t *testing.T, name string, stages []*stage) {
		final := stages[len(stages)-1]
		labels := final.last("LABEL")
		title, _, _ := strings.Cut(name, ".")
		for _, want := range []string{
			`image.title="` + title + `"`, "image.description=", `image.licenses="Apache-2.0"`, "image.source=",
			`image.version="$VERSION"`, `image.revision="$REVISION"`, `image.created="$BUILD_DATE"`,
		} {
			if !strings.Contains(labels, want) {
				t.Errorf("no %s in %s", want, labels)
			}
		}
		if args := final.all("ARG"); !slices.ContainsFunc(args, func(i instruction) bool { return i.args == "VERSION="+version.Lictor }) {
			t.Errorf("VERSION is not %s: %v", version.Lictor, args)
		}
	})
}

// TestTheAgentsImageHasWhatTheStartScriptNeeds is about the documents' script.
func TestTheAgentsImageHasWhatTheStartScriptNeeds(t *testing.T) {
	stages := parse(t, "consul.Dockerfile")
	final := stages[len(stages)-1]
	for _, program := range []string{"curl", "jq", "ca-certificates"} {
		if !strings.Contains(final.last("RUN"), program) {
			t.Errorf("no %s", program)
		}
	}
	if !strings.HasPrefix(final.base, "alpine:") || !strings.Contains(final.last("VOLUME"), "/bin/consul-inject") {
		t.Errorf("FROM %s, VOLUME %s", final.base, final.last("VOLUME"))
	}
	if !strings.Contains(final.last("HEALTHCHECK"), `CMD ["consul-ecs", "client", "-check"]`) {
		t.Errorf("HEALTHCHECK %s", final.last("HEALTHCHECK"))
	}
}

// TestEveryArchitectureHasAllPackages finds, without compiling, packages that an architecture lacks or that need C.
func TestEveryArchitectureHasAllPackages(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("go", "list", "-deps", "-f", "{{if or .CgoFiles .Error}}{{.ImportPath}}{{end}}", "./cmd/...")
			cmd.Dir = ".."
			cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0")
			out, err := cmd.CombinedOutput()
			if err != nil || len(strings.TrimSpace(string(out))) > 0 {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
