package cli

import (
	"context"
	"fmt"
	"io"

	release "github.com/lictor/lictor/internal/version"
)

// versionInfo is the JSON of the version command.
type versionInfo struct {
	Version, Revision, Prerelease, BuildDate string
	RPC                                      struct{ Default, Min, Max int }
}

// VersionCommand is consul version, for other programs of the project too.
func VersionCommand() *Command {
	var p printer
	return &Command{
		Name: "version", Short: "Show the version",
		Flags: p.formatFlag,
		Run: func(_ context.Context, env *Env, _ []string) error {
			if err := p.check(); err != nil {
				return err
			}
			info := versionInfo{Version: release.Consul, Revision: "lictor-" + release.Lictor, BuildDate: release.BuildDate}
			info.RPC.Default, info.RPC.Min, info.RPC.Max = release.ProtocolDefault, release.ProtocolMin, release.ProtocolMax
			return p.print(env.Out, info, jsonNarrow, func(w io.Writer) {
				fmt.Fprintf(w, "Consul v%s\nLictor v%s\nBuild Date %s\n", info.Version, release.Lictor, info.BuildDate)
				fmt.Fprintf(w, "Protocol %d spoken by default, understands %d to %d "+
					"(agent will automatically use protocol >%d when speaking to compatible agents)\n\n",
					info.RPC.Default, info.RPC.Min, info.RPC.Max, info.RPC.Default)
			})
		},
	}
}
