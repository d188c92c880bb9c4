package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

func completion() *Command {
	return &Command{
		Name: "completion", Args: "bash|zsh|fish", Short: "Print a script that completes commands and flags in a shell",
		Long: "For bash, put this into ~/.bashrc:\n\n  source <(consul completion bash)",
		Run: func(_ context.Context, env *Env, args []string) error {
			shell, err := one(args, "the shell, bash, zsh or fish")
			if err != nil {
				return err
			}
			words := completions(Root())
			switch shell {
			case "bash":
				writeBash(env.Out, words)
			case "zsh":
				fmt.Fprint(env.Out, "autoload -U +X bashcompinit && bashcompinit\n")
				writeBash(env.Out, words)
			case "fish":
				writeFish(env.Out, words)
			default:
				return complain("Unknown shell: %s", shell)
			}
			return nil
		},
	}
}

// completionWords are what may follow a command's path, which begins with a
// space unless it is empty.
type completionWords struct {
	path  string
	words []string
}

// completions walks the tree in order.
func completions(root *Command) []completionWords {
	var out []completionWords
	var walk func(c *Command, path string)
	walk = func(c *Command, path string) {
		at := completionWords{path: path}
		for _, sub := range c.Sub {
			at.words = append(at.words, sub.Name)
		}
		if c.Run != nil {
			c.flagSet().VisitAll(func(f *flag.Flag) { at.words = append(at.words, "-"+f.Name) })
		}
		slices.Sort(at.words)
		out = append(out, at)
		for _, sub := range c.Sub {
			walk(sub, path+" "+sub.Name)
		}
	}
	walk(root, "")
	return out
}

// writeBash writes a function that finds the words before the cursor that are
// commands and offers what may follow them. After a flag that takes a value it offers files.
func writeBash(w io.Writer, all []completionWords) {
	fmt.Fprint(w, "_consul_complete() {\n"+
		"    local word path= cur=${COMP_WORDS[COMP_CWORD]}\n"+
		"    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"+
		"        case $word in -*) break ;; esac\n"+
		"        path=\"$path $word\"\n"+
		"    done\n"+
		"    local words=\n"+
		"    case \"$path\" in\n")
	for _, at := range all {
		fmt.Fprintf(w, "    %q) words=%q ;;\n", at.path, strings.Join(at.words, " "))
	}
	fmt.Fprint(w, "    esac\n"+
		"    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"+
		"}\n"+
		"complete -o default -F _consul_complete consul\n")
}

func writeFish(w io.Writer, all []completionWords) {
	fmt.Fprint(w, "function __consul_path\n"+
		"    set -l path\n"+
		"    for word in (commandline -opc)[2..-1]\n"+
		"        string match -q -- '-*' $word; and break\n"+
		"        set path $path $word\n"+
		"    end\n"+
		"    test \"$path\" = \"$argv\"\n"+
		"end\n")
	for _, at := range all {
		path := strings.TrimSpace(at.path)
		fmt.Fprintf(w, "complete -c consul -n '__consul_path %s' -a '%s'\n", path, strings.Join(at.words, " "))
	}
}
