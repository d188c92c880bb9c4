package logging

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/hashicorp/go-hclog"
)

func TestHCLogBridge(t *testing.T) {
	stamp := regexp.MustCompile(`(?m)^\S+Z `)
	for _, tc := range []struct {
		name string
		log  func(l hclog.Logger)
		want string
	}{
		{"names and pairs", func(l hclog.Logger) { l.Named("raft").With("a", 1).Info("m", "b", 2) }, "[INFO]  agent.raft: m: a=1 b=2\n"},
		{"a name begun anew", func(l hclog.Logger) { l.With("a", 1).Named("x").ResetNamed("y").Error("m") }, "[ERROR] agent.y: m: a=1\n"},
		{"a format", func(l hclog.Logger) { l.Warn("m", "at", hclog.Fmt("%d/%d", 1, 2)) }, "[WARN]  agent: m: at=1/2\n"},
		{"below the level", func(l hclog.Logger) { l.Trace("m") }, ""},
		{"off", func(l hclog.Logger) { l.Log(hclog.Off, "m") }, ""},
		{"the library may not change the level", func(l hclog.Logger) { l.SetLevel(hclog.Trace); l.Trace("m") }, ""},
		{"a standard logger that names levels", func(l hclog.Logger) {
			s := l.Named("memberlist").StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true})
			s.Print("[WARN] memberlist: slow")
			s.Print("[ERR] memberlist: gone")
			s.Print("[::1] plain")
		}, "[WARN]  agent.memberlist: memberlist: slow\n[ERROR] agent.memberlist: memberlist: gone\n[INFO]  agent.memberlist: [::1] plain\n"},
		{"a standard logger of one level", func(l hclog.Logger) {
			l.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Error}).Print("[INFO] x")
		}, "[ERROR] agent: [INFO] x\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			l, _ := open(t, Config{Level: "debug"}, &out)
			tc.log(HCLog(Named(l, "agent")))
			if got := stamp.ReplaceAllString(out.String(), ""); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestHCLogLevels(t *testing.T) {
	l, level := open(t, Config{}, &bytes.Buffer{})
	h := HCLog(l)
	for name, want := range map[string]hclog.Level{"trace": hclog.Trace, "debug": hclog.Debug, "info": hclog.Info, "warn": hclog.Warn, "error": hclog.Error} {
		if err := level.Set(name); err != nil {
			t.Fatal(err)
		}
		if got := h.GetLevel(); got != want {
			t.Errorf("at %s the bridge says %v", name, got)
		}
		if h.IsTrace() != (want == hclog.Trace) || !h.IsError() || h.IsWarn() != (want <= hclog.Warn) {
			t.Errorf("at %s the bridge's Is… disagree", name)
		}
	}
}
