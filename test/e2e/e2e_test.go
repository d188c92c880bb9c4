// Package e2e drives the built binaries as a user does: scripts in testdata
// run them as real processes against a real server and a local AWS.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scriptTime is when scripts that still run are ended, with the stacks of the
// command that hangs. A busy machine takes minutes for all of them.
const scriptTime = 8 * time.Minute

// binaries is the directory of the built commands.
var binaries string

// TestMain builds the commands, and offers scripts some more.
func TestMain(m *testing.M) {
	testscript.Main(builder{m}, map[string]func(){"bearer": bearerCommand, "fetch": fetchCommand, "strangers": strangersCommand})
}

// builder runs the tests with the built commands.
type builder struct{ *testing.M }

// Run builds, runs the tests and returns the exit code.
func (b builder) Run() int {
	dir, err := os.MkdirTemp("", "lictor-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binaries = dir
	build := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "./cmd/...", "./test/e2e/standin")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return b.M.Run()
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Deadline:            time.Now().Add(scriptTime),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", binaries+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("SOON", limitOfTheMoment().String())
			env.Values[storyKey{}] = &story{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"aws":         cmdAWS,
			"task":        cmdTask,
			"fault":       cmdFault,
			"server":      cmdServer,
			"agent":       cmdAgent,
			"freeports":   cmdFreePorts,
			"capture":     cmdCapture,
			"secrets":     cmdSecrets,
			"nosecrets":   cmdNoSecrets,
			"get":         cmdGet,
			"call":        cmdCall,
			"signal":      cmdSignal,
			"serverlog":   cmdServerLog,
			"logintokens": cmdLoginTokens,
			"mode":        cmdMode,
			"audited":     cmdAudited,
			"backend":     cmdBackend,
			"reaches":     cmdReaches,
			"hold":        cmdHold,
			"shows":       cmdShows,
			"paste":       cmdPaste,
		},
	})
}
