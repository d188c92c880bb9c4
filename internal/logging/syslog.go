//go:build !windows && !plan9

package logging

import (
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"strings"
)

var facilities = map[string]syslog.Priority{
	"KERN": syslog.LOG_KERN, "USER": syslog.LOG_USER, "MAIL": syslog.LOG_MAIL, "DAEMON": syslog.LOG_DAEMON,
	"AUTH": syslog.LOG_AUTH, "SYSLOG": syslog.LOG_SYSLOG, "LPR": syslog.LOG_LPR, "NEWS": syslog.LOG_NEWS,
	"UUCP": syslog.LOG_UUCP, "CRON": syslog.LOG_CRON, "AUTHPRIV": syslog.LOG_AUTHPRIV, "FTP": syslog.LOG_FTP,
	"LOCAL0": syslog.LOG_LOCAL0, "LOCAL1": syslog.LOG_LOCAL1, "LOCAL2": syslog.LOG_LOCAL2, "LOCAL3": syslog.LOG_LOCAL3,
	"LOCAL4": syslog.LOG_LOCAL4, "LOCAL5": syslog.LOG_LOCAL5, "LOCAL6": syslog.LOG_LOCAL6, "LOCAL7": syslog.LOG_LOCAL7,
}

// dialSyslog connects to the local syslog under the name consul. An empty facility is LOCAL0.
func dialSyslog(facility string) (lineWriter, io.Closer, error) {
	if facility == "" {
		facility = "LOCAL0"
	}
	p, ok := facilities[strings.ToUpper(facility)]
	if !ok {
		return nil, nil, fmt.Errorf("invalid syslog facility: %q", facility)
	}
	w, err := syslog.New(p|syslog.LOG_INFO, "consul")
	if err != nil {
		return nil, nil, fmt.Errorf("syslog: %w", err)
	}
	return syslogWriter{w}, w, nil
}

type syslogWriter struct{ w *syslog.Writer }

func (s syslogWriter) writeLine(level slog.Level, line []byte) error {
	text := string(line)
	switch {
	case level < slog.LevelInfo:
		return s.w.Debug(text)
	case level < slog.LevelWarn:
		return s.w.Info(text)
	case level < slog.LevelError:
		return s.w.Warning(text)
	}
	return s.w.Err(text)
}
