package check

import (
	"log/slog"
	"strings"
)

// report holds the last status of a check and passes changes on. It is not
// safe for concurrent use.
type report struct {
	notify Notify
	log    *slog.Logger
	id     string
	max    int // bytes of output
	last   Status
}

func newReport(d *Definition, o *Options) report {
	r := report{notify: o.Notify, log: o.Log, id: d.CheckID, max: o.OutputMax, last: Status{Status: d.Status}}
	if r.last.Status == "" {
		r.last.Status = Critical
	}
	return r
}

func (r *report) set(s Status) {
	s.Output = clip(s.Output, r.max)
	if s == r.last {
		return
	}
	if s.Status != r.last.Status {
		r.logChange(s.Status)
	}
	r.last = s
	r.notify(s)
}

func (r *report) logChange(status string) {
	switch status {
	case Critical:
		r.log.Warn("Check is now critical", "check", r.id)
	case Warning:
		r.log.Warn("Check is now warning", "check", r.id)
	default:
		r.log.Info("Check is now passing", "check", r.id)
	}
}

// clip returns the beginning of s in at most limit bytes of valid UTF-8: what
// goes through JSON has to come out unchanged, or it would be sent for ever.
func clip(s string, limit int) string {
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// thresholds says how many equal results in a row change a status.
type thresholds struct {
	toPassing, toWarning, toCritical int
	passed, failed                   int // results in a row
}

func newThresholds(d *Definition) thresholds {
	t := thresholds{toPassing: d.SuccessBeforePassing, toWarning: d.FailuresBeforeWarning, toCritical: d.FailuresBeforeCritical}
	if t.toWarning == 0 {
		t.toWarning = t.toCritical
	}
	return t
}

// count takes one result and returns the status that it leads to, and false if
// the status stays what it is. A warning counts as a success.
func (t *thresholds) count(result string) (string, bool) {
	if result != Critical {
		t.passed, t.failed = t.passed+1, 0
		return result, t.passed >= t.toPassing
	}
	t.passed, t.failed = 0, t.failed+1
	switch {
	case t.failed >= t.toCritical:
		return Critical, true
	case t.failed >= t.toWarning:
		return Warning, true
	}
	return "", false
}
