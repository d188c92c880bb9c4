package cli

import (
	"github.com/lictor/lictor/internal/awsiam"
	"github.com/lictor/lictor/internal/daemon"
)

// Root returns the whole consul command, with the extra commands at its end.
func Root(extra ...*Command) *Command {
	root := &Command{
		Name:  "consul",
		Short: "Run an agent, or operate the one that is running",
	}
	root.Sub = append(root.Sub,
		acl(),
		agent(daemon.Run),
		auditTrail(),
		catalogGroup(),
		completion(),
		configGroup(),
		connect(),
		debugCommand(),
		eventCommand(),
		forceLeave(),
		info(),
		intention(),
		join(),
		keygen(),
		keyring(),
		kv(),
		leave(),
		lock(),
		login(awsiam.NewBearerToken),
		logout(),
		maint(),
		members(),
		monitor(),
		namespace(),
		operator(),
		partition(),
		reload(),
		rtt(),
		services(),
		snapshots(),
		tlsGroup(),
		validate(),
		VersionCommand(),
		watchCommand(),
	)
	root.Sub = append(root.Sub, extra...)
	return root
}

// acl is the group of everything about who may do what.
func acl() *Command {
	return &Command{
		Name:  "acl",
		Short: "Manage tokens, policies, roles, auth methods and binding rules",
		Sub: []*Command{
			aclAuthMethod(),
			aclBindingRule(),
			aclBootstrap(),
			aclExplain(),
			aclPolicy(),
			aclRole(),
			aclSetAgentToken(),
			aclTemplatedPolicy(),
			aclToken(),
		},
	}
}
