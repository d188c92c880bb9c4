package taskrun

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mount is a file or directory of this machine at a path of a container.
type mount struct {
	source, path string
	readOnly     bool
}

// enter returns the place of a container's processes.
func (t *Task) enter(c *container) (*place, error) {
	if t.host == nil {
		return newPlace(nil)
	}
	var mounts []mount
	for path, source := range c.image.Files {
		mounts = append(mounts, mount{source, path, true})
	}
	for _, m := range c.definition.MountPoints {
		mounts = append(mounts, mount{t.VolumeDir(m.Volume), m.Path, m.ReadOnly})
	}
	scratch := filepath.Join(t.dir, "root-"+c.definition.Name)
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, err
	}
	return newPlace(func() error { return t.host.enter(scratch, mounts) })
}

// enter gives the calling thread the network and the name of the host and a root directory of its own
// with mounts.
func (h *host) enter(scratch string, mounts []mount) error {
	if err := unix.Setns(int(h.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the task's network: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("unshare mounts and host name: %w", err)
	}
	if err := unix.Sethostname([]byte(h.name)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	return newRoot(scratch, mounts)
}

// newRoot makes an overlay of this machine's root directory the thread's root. What is written there
// goes to a tmpfs that ends with the container.
func newRoot(scratch string, mounts []mount) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	for _, dir := range submounts() {
		mounts = append([]mount{{source: dir, path: dir}}, mounts...)
	}
	trees := make([]int, len(mounts))
	for i, m := range mounts {
		tree, err := unix.OpenTree(unix.AT_FDCWD, m.source, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
		if err != nil {
			return fmt.Errorf("open %s to mount it: %w", m.source, err)
		}
		defer unix.Close(tree)
		trees[i] = tree
	}
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := os.Chdir(scratch); err != nil { // of this thread; so no path is in the mount's options
		return err
	}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", "root", "overlay", 0, "lowerdir=/,upperdir=upper,workdir=work"); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	if err := unix.Chroot("root"); err != nil {
		return fmt.Errorf("change root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	for i, m := range mounts {
		if err := m.attach(trees[i]); err != nil {
			return err
		}
	}
	return nil
}

// attach mounts a tree, a directory or a file, at the mount's path, which it makes.
func (m mount) attach(tree int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(tree, &stat); err != nil {
		return fmt.Errorf("mount %s: %w", m.path, err)
	}
	dir := m.path
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		dir = filepath.Dir(m.path)
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil && dir != m.path {
		var file *os.File
		if file, err = os.OpenFile(m.path, os.O_CREATE|os.O_RDONLY, 0o755); err == nil {
			err = file.Close()
		}
	}
	if err == nil {
		err = unix.MoveMount(tree, "", unix.AT_FDCWD, m.path, unix.MOVE_MOUNT_F_EMPTY_PATH)
	}
	if err == nil && m.readOnly {
		err = unix.Mount("", m.path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", m.path, err)
	}
	return nil
}

// submounts are the mounts below the root directory, but those that are below another.
func submounts() []string {
	file, err := os.Open("/proc/thread-self/mountinfo")
	if err != nil {
		return nil
	}
	defer file.Close()
	var found []string
	lines := bufio.NewScanner(file)
next:
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[4] == "/" {
			continue
		}
		path := unescape(fields[4])
		for _, above := range found {
			if path == above || strings.HasPrefix(path, above+"/") {
				continue next
			}
		}
		found = append(found, path)
	}
	return found
}

// unescape undoes the kernel's octal escapes of blanks and backslashes.
func unescape(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] == '\\' && i+4 <= len(path) {
			if n, err := strconv.ParseUint(path[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(path[i])
	}
	return b.String()
}
