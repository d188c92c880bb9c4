package cli

import (
	"cmp"
	"flag"
)

// connect is the group of the service mesh.
func connect() *Command {
	return &Command{
		Name: "connect", Short: "Work with the service mesh",
		Sub: []*Command{connectCA(), connectEnvoy(execEnvoy), connectProxy()},
	}
}

// proxyRef is how a command line names one proxy.
type proxyRef struct{ proxyID, sidecarFor string }

func (r *proxyRef) flags(fs *flag.FlagSet) {
	fs.StringVar(&r.proxyID, "proxy-id", "", "`ID` of the proxy as it is registered with the agent; also CONNECT_PROXY_ID")
	fs.StringVar(&r.sidecarFor, "sidecar-for", "", "`ID` of the service whose only sidecar is meant; also CONNECT_SIDECAR_FOR")
}

// orEnv takes from the environment what flags do not say.
func (r *proxyRef) orEnv(env *Env) {
	r.proxyID = cmp.Or(r.proxyID, env.Getenv("CONNECT_PROXY_ID"))
	r.sidecarFor = cmp.Or(r.sidecarFor, env.Getenv("CONNECT_SIDECAR_FOR"))
}
