package cli

// operator is the group of what concerns the cluster's servers themselves.
func operator() *Command {
	return &Command{
		Name: "operator", Short: "Look after the servers of the cluster",
		Sub: []*Command{operatorAudit(), operatorAutopilot(), operatorRaft(), operatorUsage()},
	}
}
