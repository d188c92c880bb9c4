package cluster

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Build builds consul as the file at path. Other flags of the linker make
// another binary of the same source.
func Build(path, ldflags string) error {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return fmt.Errorf("where the source is cannot be found out")
	}
	build := exec.Command("go", "build", "-ldflags", ldflags, "-o", path, "./cmd/consul")
	build.Dir = filepath.Join(filepath.Dir(here), "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}
