package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/atomicfile"
)

// snapshotTime is how long the servers may take to save or to restore a state.
const snapshotTime = 15 * time.Minute

func snapshots() *Command {
	return &Command{
		Name: "snapshot", Short: "Save the state of the servers, restore it, look into it",
		Sub: []*Command{snapshotInspect(), snapshotRestore(), snapshotSave()},
	}
}

// oneFile returns the only positional argument.
func oneFile(args []string) (string, error) {
	switch len(args) {
	case 0:
		return "", complain("Missing FILE argument")
	case 1:
		return args[0], nil
	}
	return "", complain("Too many arguments (expected 1, got %d)", len(args))
}

func snapshotSave() *Command {
	var b base
	var suffix string
	return &Command{
		Name: "save", Args: "FILE", Short: "Save the state of the servers to a file",
		Long: "The file holds every token's secret. It is written under another name until it is verified.",
		Flags: func(fs *flag.FlagSet) {
			b.server(fs)
			fs.StringVar(&suffix, "append-filename", "", "what to put into the file's name, separated by commas: any `of` version, dc, node, status")
		},
		Run: func(ctx context.Context, env *Env, args []string) error {
			file, err := oneFile(args)
			if err != nil {
				return err
			}
			b.answer = snapshotTime
			client, err := b.open(env)
			if err != nil {
				return err
			}
			if file, err = appendToName(client, file, suffix); err != nil {
				return complain("Error saving snapshot: %w", err)
			}
			index, err := saveSnapshot(env, client, b.read(ctx), file)
			if err != nil {
				return complain("Error saving snapshot: %w", err)
			}
			fmt.Fprintf(env.Out, "Saved and verified snapshot to index %d\n", index)
			return nil
		},
	}
}

// appendToName puts what suffix asks for into file's name, in front of the extension.
func appendToName(client *api.Client, file, suffix string) (string, error) {
	if suffix == "" {
		return file, nil
	}
	self, err := client.Agent().Self()
	if err != nil {
		return "", err
	}
	status := "follower"
	if stats, _ := self["Stats"]["consul"].(map[string]any); stats["leader"] == "true" {
		status = "leader"
	}
	values := map[string]any{
		"version": self["Config"]["Version"], "dc": self["Config"]["Datacenter"], "node": self["Config"]["NodeName"], "status": status,
	}
	extension := filepath.Ext(file)
	name := strings.TrimSuffix(file, extension)
	for part := range strings.SplitSeq(suffix, ",") {
		value, known := values[strings.TrimSpace(part)]
		if !known {
			return "", complain("-append-filename knows version, dc, node and status, not %q", part)
		}
		name += fmt.Sprintf("-%v", value)
	}
	return name + extension, nil
}

// saveSnapshot writes a snapshot to file, which appears whole and verified or not at all.
func saveSnapshot(env *Env, client *api.Client, q *api.QueryOptions, file string) (index uint64, err error) {
	tmp, err := atomicfile.Create(file)
	if err != nil {
		return 0, err
	}
	defer tmp.Close()
	content, _, err := client.Snapshot().Save(q)
	if err != nil {
		return 0, err
	}
	defer content.Close()
	if _, err := io.Copy(tmp, reportProgress(env.Err, "Received", content, 0)); err != nil {
		return 0, err
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	about, err := inspect(tmp.File)
	if err != nil {
		return 0, complain("the snapshot that was received is not sound: %w", err)
	}
	return about.Meta.Index, tmp.Commit(0o600, true)
}

func snapshotRestore() *Command {
	var b base
	return &Command{
		Name: "restore", Args: "FILE", Short: "Replace the state of the servers by that in a file",
		Long: "Everything that the servers hold is replaced, tokens and policies too: afterwards the tokens of the file count. " +
			"The file is refused as a whole if it was cut or altered.",
		Flags: func(fs *flag.FlagSet) { b.server(fs) },
		Run: func(ctx context.Context, env *Env, args []string) error {
			name, err := oneFile(args)
			if err != nil {
				return err
			}
			b.answer = snapshotTime
			client, err := b.open(env)
			if err != nil {
				return err
			}
			file, err := os.Open(name)
			if err != nil {
				return complain("Error opening snapshot file: %w", err)
			}
			defer file.Close()
			info, err := file.Stat()
			if err != nil {
				return complain("Error opening snapshot file: %w", err)
			}
			if err := client.Snapshot().Restore(b.write(ctx), reportProgress(env.Err, "Sent", file, info.Size())); err != nil {
				return complain("Error restoring snapshot: %w", err)
			}
			fmt.Fprintln(env.Out, "Restored snapshot")
			return nil
		},
	}
}
