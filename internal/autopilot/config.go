// Package autopilot decides what the leader does about the servers of its
// cluster: when a new cluster begins, which servers replicate and which of them vote,
// and which are healthy. Its rules are plain functions on what is known at one
// moment; somebody else acts and keeps the time.
package autopilot

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/wire"
)

// Config is what operators choose. Its JSON is that of
// /v1/operator/autopilot/configuration (spec: agent.md section 17).
type Config struct {
	// CleanupDeadServers removes servers that have been dead for ServerStabilizationTime
	// from those that replicate. Servers that left are removed at once, always.
	CleanupDeadServers bool
	// LastContactThreshold is how long a healthy server may not have heard of the leader.
	LastContactThreshold time.Duration
	// MaxTrailingLogs is how many log entries a healthy server may be behind the leader.
	MaxTrailingLogs uint64
	// MinQuorum is how many voters are left when dead ones are removed; 0 is no such minimum.
	MinQuorum uint64
	// ServerStabilizationTime is how long a new server has to be healthy before it votes.
	ServerStabilizationTime time.Duration

	// What follows is kept for tools that write it and read it back. Nothing acts on it.
	RedundancyZoneTag       string
	DisableUpgradeMigration bool
	UpgradeVersionTag       string

	CreateIndex uint64
	ModifyIndex uint64
}

// Default returns what counts until an operator chooses otherwise.
func Default() Config {
	return Config{
		CleanupDeadServers:      true,
		LastContactThreshold:    200 * time.Millisecond,
		MaxTrailingLogs:         250,
		ServerStabilizationTime: 10 * time.Second,
	}
}

// Choose returns what counts: what is stored, else what the configuration file says, else the defaults.
func Choose(stored *Config, file Config) Config {
	switch {
	case stored != nil:
		return *stored
	case file != (Config{}):
		return file
	}
	return Default()
}

// Validate returns errs.Invalid for what cannot be meant.
func (c *Config) Validate() error {
	if c.LastContactThreshold <= 0 {
		return errs.Errorf(errs.Invalid, "Invalid autopilot configuration: LastContactThreshold must be greater than 0, not %s", c.LastContactThreshold)
	}
	if c.ServerStabilizationTime < 0 {
		return errs.Errorf(errs.Invalid, "Invalid autopilot configuration: ServerStabilizationTime cannot be negative: %s", c.ServerStabilizationTime)
	}
	return nil
}

// plainConfig has Config's fields and none of its methods.
type plainConfig Config

// MarshalJSON writes durations as text.
func (c Config) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		CleanupDeadServers      bool
		LastContactThreshold    string
		MaxTrailingLogs         uint64
		MinQuorum               uint64
		ServerStabilizationTime string
		RedundancyZoneTag       string
		DisableUpgradeMigration bool
		UpgradeVersionTag       string
		CreateIndex             uint64
		ModifyIndex             uint64
	}{
		c.CleanupDeadServers, c.LastContactThreshold.String(), c.MaxTrailingLogs, c.MinQuorum,
		c.ServerStabilizationTime.String(), c.RedundancyZoneTag, c.DisableUpgradeMigration, c.UpgradeVersionTag,
		c.CreateIndex, c.ModifyIndex,
	})
}

// UnmarshalJSON reads durations as text or as integer nanoseconds. A key that a Config
// does not have is an error; what data leaves out stays as it is in c.
func (c *Config) UnmarshalJSON(data []byte) error {
	in := struct {
		LastContactThreshold    *wire.Duration
		ServerStabilizationTime *wire.Duration
		*plainConfig
	}{(*wire.Duration)(&c.LastContactThreshold), (*wire.Duration)(&c.ServerStabilizationTime), (*plainConfig)(c)}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(&in)
}
