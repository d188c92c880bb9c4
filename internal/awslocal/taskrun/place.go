package taskrun

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// place is where the processes of a container are started: a thread that the kernel lets have a root
// directory, mounts, a network and a host name of its own, which its children inherit. The
// container's first process dies with the thread.
type place struct {
	do       chan func()
	gone     chan struct{}
	isolated bool
	broken   error // of entering the processes of the container; used on the thread alone
}

// newPlace starts the thread and prepares it with enter, if that is not nil.
func newPlace(enter func() error) (*place, error) {
	p := &place{do: make(chan func()), gone: make(chan struct{}), isolated: enter != nil}
	entered := make(chan error)
	onThread(func() {
		if enter != nil {
			if err := enter(); err != nil {
				entered <- err
				return
			}
		}
		entered <- nil
		for {
			select {
			case f := <-p.do:
				f()
			case <-p.gone:
				return
			}
		}
	})
	return p, <-entered
}

func (p *place) close() { close(p.gone) }

// on runs f on the thread.
func (p *place) on(f func() error) error {
	result := make(chan error, 1)
	select {
	case p.do <- func() { result <- f() }:
		return <-result
	case <-p.gone:
		return errors.New("the container has ended")
	}
}

// start starts a command, whose program is looked for as its own PATH says.
func (p *place) start(cmd *exec.Cmd) error {
	return p.on(func() error {
		if p.broken != nil {
			return p.broken
		}
		var err error
		if cmd.Path, err = lookPath(cmd.Args[0], cmd.Dir, cmd.Env); err != nil {
			return err
		}
		return cmd.Start()
	})
}

// lookPath finds a program as execvp does.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, variable := range env {
		list, ok := strings.CutPrefix(variable, "PATH=")
		if !ok {
			continue
		}
		for _, in := range filepath.SplitList(list) {
			path := filepath.Join(in, name)
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("exec: %q: executable file not found in $PATH", name)
}
