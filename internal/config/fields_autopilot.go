package config

var autopilotFields = []field{
	{key: "autopilot.cleanup_dead_servers", kind: boolean, def: "true", into: func(c *conf) any { return &c.Autopilot.CleanupDeadServers },
		note: "Take servers that are dead out of those that replicate. This and what follows counts until an operator has chosen with consul operator autopilot set-config."},
	{key: "autopilot.last_contact_threshold", kind: duration, def: "200ms", into: func(c *conf) any { return &c.Autopilot.LastContactThreshold },
		note: "How long a healthy server may not have heard of the leader."},
	{key: "autopilot.max_trailing_logs", kind: integer, def: "250", into: func(c *conf) any { return &c.Autopilot.MaxTrailingLogs },
		note: "How many log entries a healthy server may be behind the leader."},
	{key: "autopilot.min_quorum", kind: integer, def: "0", into: func(c *conf) any { return &c.Autopilot.MinQuorum },
		note: "How many voters are left when dead ones are removed."},
	{key: "autopilot.server_stabilization_time", kind: duration, def: "10s", into: func(c *conf) any { return &c.Autopilot.ServerStabilizationTime },
		note: "How long a new server has to be healthy before it votes, and a failed one gone before it is removed."},
	{key: "autopilot.redundancy_zone_tag", into: func(c *conf) any { return &c.Autopilot.RedundancyZoneTag }, effect: idle,
		note: "Kept, but nothing acts on it."},
	{key: "autopilot.disable_upgrade_migration", kind: boolean, def: "false", into: func(c *conf) any { return &c.Autopilot.DisableUpgradeMigration }, effect: idle,
		note: "Kept, but nothing acts on it."},
	{key: "autopilot.upgrade_version_tag", into: func(c *conf) any { return &c.Autopilot.UpgradeVersionTag }, effect: idle,
		note: "Kept, but nothing acts on it."},
}
