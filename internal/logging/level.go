package logging

import (
	"fmt"
	"log/slog"
	"strings"
)

// LevelTrace is below slog's own levels, for what only the authors of a part want to see.
const LevelTrace = slog.Level(-8)

// Level is what a logger shows, and can be changed while it is in use.
type Level struct{ v slog.LevelVar }

// Level returns the current level, as slog.Leveler wants it.
func (l *Level) Level() slog.Level { return l.v.Level() }

// Set changes the level to the one named. An unknown name is an error and changes nothing.
func (l *Level) Set(name string) error {
	level, err := ParseLevel(name)
	if err != nil {
		return err
	}
	l.v.Set(level)
	return nil
}

// ParseLevel understands the names of the log_level setting in any case; the empty name
// is INFO (spec: agent.md sections 1 and 6).
func ParseLevel(name string) (slog.Level, error) {
	switch strings.ToUpper(name) {
	case "TRACE":
		return LevelTrace, nil
	case "DEBUG":
		return slog.LevelDebug, nil
	case "INFO", "":
		return slog.LevelInfo, nil
	case "WARN":
		return slog.LevelWarn, nil
	case "ERR", "ERROR":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("Invalid log level: %s. Valid log levels are: [TRACE DEBUG INFO WARN ERR ERROR]", name)
}

// levelName is the level's name in JSON lines; upper case in text.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warn"
	}
	return "error"
}

// levelColumn is the level in a text line, seven columns wide.
func levelColumn(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "[TRACE]"
	case l < slog.LevelInfo:
		return "[DEBUG]"
	case l < slog.LevelWarn:
		return "[INFO] "
	case l < slog.LevelError:
		return "[WARN] "
	}
	return "[ERROR]"
}
