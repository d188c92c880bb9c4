package cli

// connect is the group of the service mesh.
func connect() *Command {
	return &Command{
		Name: "connect", Short: "Work with the service mesh",
		Sub: []*Command{connectCA(), connectEnvoy(execEnvoy), connectProxy()},
	}
}
