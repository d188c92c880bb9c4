package operator

import (
	_ "embed"
	"strings"
	"text/template"
)

// startScriptText is the documents' start-up script of the consul-client container (ecs.md section 11),
// which sh -ec runs. It names the node for the task, as consul-ecs client does, so that a token for that node
// alone is enough.
//
//go:embed task_definition_script.sh
var startScriptText string

var startScript = template.Must(template.New("").Funcs(template.FuncMap{"quote": shellQuote}).Parse(startScriptText))

// startScript is the script for this task.
func (d *decorator) startScript() (string, error) {
	var b strings.Builder
	err := startScript.Execute(&b, struct {
		taskSettings
		LoggingIn bool
	}{d.taskSettings, d.loggingIn()})
	return b.String(), err
}

// shellQuote writes a word that the shell takes as it is.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
