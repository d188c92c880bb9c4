// Package local holds the services and checks that are registered with this
// agent: it validates and keeps them, runs their checks, and makes the catalog
// say the same (spec: agent.md sections 16.3 and 16.4, catalog.md sections 4 and 5).
// The agent is the authority for its own node: what the catalog has beyond it is
// removed, and nothing is written where both agree.
package local
