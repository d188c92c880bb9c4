// Package audit writes the audit trail: two events for each operation, one before it
// acts and one with its answer, to every sink that wants them (spec: audit.md; docs/audit.md).
//
// The events of a sink form a chain: each line carries its number, the hash of the line
// before it and its own, so that Verify finds what was cut, altered or moved. A sink is
// either best-effort, then an operation never waits long for it and what cannot be
// written is counted, or enforced: then an event is on disk before Begin or Complete returns, or
// they return an error.
//
// Goroutines: one writer for each sink. Memory: at most queueLength events for each.
package audit
