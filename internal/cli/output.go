package cli

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/consul/api"
)

// base is what most commands are made of: a connection and a way to print.
type base struct {
	conn
	printer
}

// open checks the output format before anything is asked of the API, so that a
// mistyped format changes nothing.
func (b *base) open(env *Env) (*api.Client, error) {
	if err := b.check(); err != nil {
		return nil, err
	}
	return b.conn.open(env)
}

// calling is the Run of a command that calls the API and ignores positional arguments.
func (b *base) calling(run func(ctx context.Context, env *Env, client *api.Client) error) func(context.Context, *Env, []string) error {
	return func(ctx context.Context, env *Env, _ []string) error {
		client, err := b.open(env)
		if err != nil {
			return err
		}
		return run(ctx, env, client)
	}
}

// callingAlone is the Run of a command that calls the API and refuses positional arguments.
func (b *base) callingAlone(run func(ctx context.Context, env *Env, client *api.Client) error) func(context.Context, *Env, []string) error {
	return func(ctx context.Context, env *Env, args []string) error {
		if err := noArguments(args); err != nil {
			return err
		}
		return b.calling(run)(ctx, env, args)
	}
}

// acl registers the flags of a command in the acl group.
func (b *base) acl(fs *flag.FlagSet) {
	b.server(fs)
	b.tenancy(fs)
}

// printer is how an answer is shown. Its zero value is the pretty format.
type printer struct {
	format string
	meta   bool
}

func (p *printer) formatFlag(fs *flag.FlagSet) {
	fs.StringVar(&p.format, "format", "pretty", "output `format`: pretty or json")
}

// metaFlag registers the flag that shows indexes and hashes, by the name that
// the command has for it.
func (p *printer) metaFlag(fs *flag.FlagSet, name string) {
	fs.BoolVar(&p.meta, name, false, "also show the content hash and the Raft indexes")
}

func (p *printer) check() error {
	switch p.format {
	case "", "pretty", "json":
		return nil
	}
	return complain("Unknown format: %s", p.format)
}

// print shows v: as JSON indented by indent, or the way pretty writes it.
func (p *printer) print(w io.Writer, v any, indent string, pretty func(io.Writer)) error {
	if p.format != "json" {
		pretty(w)
		return nil
	}
	data, err := json.MarshalIndent(v, "", indent)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", data)
	return err
}

// The indents of JSON output; the second belongs to the newer commands.
const (
	jsonIndent = "    "
	jsonNarrow = "   "
)

// block writes "Label:  value" lines whose values start in one column.
type block struct {
	w     io.Writer
	width int // of the label with its colon and the spaces after it
}

func (b block) line(label string, value any) {
	fmt.Fprintf(b.w, "%-*s%v\n", b.width, label+":", value)
}

// lineIf leaves out an empty value.
func (b block) lineIf(label, value string) {
	if value != "" {
		b.line(label, value)
	}
}

func (b block) tenancy(partition, namespace string) {
	b.lineIf("Partition", partition)
	b.lineIf("Namespace", namespace)
}

// indexes writes the lines that -meta asks for; hash is nil where there is none.
func (b block) indexes(hash []byte, created, modified uint64) {
	if hash != nil {
		b.line("Hash", fmt.Sprintf("%x", hash))
	}
	b.line("Create Index", created)
	b.line("Modify Index", modified)
}

// entry writes an element of a list: its name, and below it what body writes,
// indented.
func entry(w io.Writer, name string, body func(io.Writer)) {
	var text strings.Builder
	body(&text)
	fmt.Fprintf(w, "%s:\n%s", name, indent("   ", text.String()))
}

// indent puts prefix before every line of text that is not empty.
func indent(prefix, text string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		if line != "" && line != "\n" {
			lines[i] = prefix + line
		}
	}
	return strings.Join(lines, "")
}
