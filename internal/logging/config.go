package logging

import "time"

// Config says where an agent logs and how much. The zero value logs INFO and
// up as text.
type Config struct {
	Level          string // TRACE, DEBUG, INFO, WARN or ERROR, in any case; empty is INFO
	JSON           bool
	File           string // also log to this file; a trailing slash means consul.log in that directory
	RotateBytes    int64
	RotateDuration time.Duration
	RotateMaxFiles int // 0 keeps all, -1 keeps none
	Syslog         bool
	SyslogFacility string
}
