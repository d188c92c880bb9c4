package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/hashicorp/raft"

	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/snapshot"
)

// rawState is the name of a snapshot inside a server's data directory, which has its meta.json beside it.
const rawState = "state.bin"

func snapshotInspect() *Command {
	var p printer
	var keys bool
	var depth int
	var filter string
	return &Command{
		Name: "inspect", Args: "FILE", Short: "Show what a snapshot holds",
		Long: "FILE is an archive of snapshot save, or a state.bin below raft/snapshots in a server's data directory.",
		Flags: func(fs *flag.FlagSet) {
			p.formatFlag(fs)
			fs.BoolVar(&keys, "kvdetails", false, "also show the size of keys; servers of this release store none")
			fs.IntVar(&depth, "kvdepth", 2, "`parts` of a key that are shown by -kvdetails")
			fs.StringVar(&filter, "kvfilter", "", "`prefix` of the keys that are shown by -kvdetails")
		},
		Run: func(_ context.Context, env *Env, args []string) error {
			name, err := oneFile(args)
			if err != nil {
				return err
			}
			if err := p.check(); err != nil {
				return err
			}
			file, err := os.Open(name)
			if err != nil {
				return complain("Error opening snapshot file: %w", err)
			}
			defer file.Close()
			about, err := inspectFile(file)
			if err != nil {
				return complain("Error reading snapshot: %w", err)
			}
			return p.print(env.Out, about, jsonNarrow, func(w io.Writer) { writeSnapshot(w, about, keys) })
		},
	}
}

// snapshotInfo is what inspect shows.
type snapshotInfo struct {
	Meta  snapshotMeta
	Stats []snapshotStat
}

type snapshotMeta struct {
	ID      string
	Size    int64
	Index   uint64
	Term    uint64
	Version int
}

// snapshotStat is how much there is of a type.
type snapshotStat struct {
	Name  string
	Sum   int64 // bytes
	Count int
}

func newSnapshotInfo(m *raft.SnapshotMeta, contents []fsm.Content) *snapshotInfo {
	info := &snapshotInfo{
		Meta:  snapshotMeta{ID: m.ID, Size: m.Size, Index: m.Index, Term: m.Term, Version: int(m.Version)},
		Stats: []snapshotStat{},
	}
	for _, c := range contents {
		info.Stats = append(info.Stats, snapshotStat{Name: c.Table, Sum: c.Bytes, Count: c.Rows})
	}
	slices.SortStableFunc(info.Stats, func(a, b snapshotStat) int { return cmp.Compare(b.Sum, a.Sum) })
	return info
}

func inspectFile(file *os.File) (*snapshotInfo, error) {
	if filepath.Base(file.Name()) == rawState {
		return inspectRaw(file)
	}
	return inspect(file)
}

// inspect reads an archive to its end and verifies all of it.
func inspect(archive io.Reader) (*snapshotInfo, error) {
	content, state := io.Pipe()
	var contents []fsm.Content
	var unsound error
	read := make(chan struct{})
	go func() {
		defer close(read)
		contents, unsound = fsm.Inspect(content)
		_ = content.CloseWithError(unsound)
	}()
	meta, err := snapshot.Read(archive, state)
	_ = state.CloseWithError(err)
	<-read
	if err != nil && (unsound == nil || !errors.Is(err, unsound)) {
		return nil, err
	}
	if unsound != nil {
		return nil, unsound
	}
	return newSnapshotInfo(meta, contents), nil
}

// inspectRaw reads a snapshot inside a server's data directory.
func inspectRaw(state *os.File) (*snapshotInfo, error) {
	data, err := os.ReadFile(filepath.Join(filepath.Dir(state.Name()), "meta.json"))
	if err != nil {
		return nil, err
	}
	var meta raft.SnapshotMeta
	if err := json.Unmarshal(data, &meta); err != nil {
		return nil, complain("meta.json: %w", err)
	}
	contents, err := fsm.Inspect(state)
	if err != nil {
		return nil, err
	}
	return newSnapshotInfo(&meta, contents), nil
}

func writeSnapshot(w io.Writer, s *snapshotInfo, keys bool) {
	table := tabwriter.NewWriter(w, 8, 8, 6, ' ', 0)
	fmt.Fprintf(table, " ID\t%s\n Size\t%d\n Index\t%d\n Term\t%d\n Version\t%d\n\n",
		s.Meta.ID, s.Meta.Size, s.Meta.Index, s.Meta.Term, s.Meta.Version)
	total := int64(0)
	fmt.Fprint(table, " Type\tCount\tSize\n ----\t----\t----\n")
	for _, stat := range s.Stats {
		fmt.Fprintf(table, " %s\t%d\t%s\n", stat.Name, stat.Count, byteSize(stat.Sum))
		total += stat.Sum
	}
	fmt.Fprintf(table, " ----\t----\t----\n Total\t\t%s\n", byteSize(total))
	if keys {
		fmt.Fprintf(table, "\n Key Name\tCount\tSize\n ----\t----\t----\n ----\t----\t----\n Total\t\t%s\n", byteSize(0))
	}
	_ = table.Flush() // to the writer of a command
}
