package authmethod

import (
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/errs"
)

func TestTemplates(t *testing.T) {
	variables := map[string]string{"name": "web", "tags.a.b-c": "x", "odd": "${name}", "long": strings.Repeat("a", 4000)}
	for _, c := range []struct{ name, template, want, text string }{
		{"plain text", "web", "web", ""},
		{"nothing", "", "", ""},
		{"a variable", "${name}", "web", ""},
		{"a variable with spaces", "${ name }", "web", ""},
		{"text around variables", "a-${name}-${tags.a.b-c}!", "a-web-x!", ""},
		{"an escape", "$${name}", "${name}", ""},
		{"single dollars and braces", "$ $$ {a} }", "$ $$ {a} }", ""},
		{"a value that looks like a template", "${odd}", "${name}", ""},
		{"an unknown variable", "a${nosuch}", "", "1:4: unknown variable accessed: nosuch"},
		{"an unknown variable on the second line", "é\né${nosuch}", "", "2:4: unknown variable accessed: nosuch"},
		{"an open brace", "${name", "", `parse error at 1:7: expected "}" but found end of string`},
		{"nothing in the braces", "${}", "", `parse error at 1:3: expected a variable but found "}"`},
		{"a nested template", "${name${name}}", "", `parse error at 1:7: expected "}" but found "$"`},
		{"two words", "${name b}", "", `parse error at 1:8: expected "}" but found "b"`},
		{"a quoted text", `${"a"}`, "", `parse error at 1:3: expected a variable but found "\""`},
		{"a function", "${upper(name)}", "", "1:3: unknown function called: upper"},
		{"a long template", strings.Repeat("a", 4097), "", "parse error: template is longer than 4096 bytes"},
		{"a long result", "${long}${long}", "", "the result is longer than 4096 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := interpolate(c.template, Identity{Variables: variables})
			wantError(t, err, errs.Invalid, c.text)
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"web", "${name}", "$${name}", "${name", "a${ name }b", "${upper(name)}", "${}", "$", "\n${x}", "é${name}"} {
		f.Add(text)
	}
	variables := map[string]string{"name": "web"}
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := ParseTemplate(text)
		if err != nil {
			return
		}
		got, err := parsed.Execute(variables)
		if err == nil && !strings.Contains(text, "${") && got != text {
			t.Errorf("%q became %q", text, got)
		}
		if err == nil && strings.Contains(got, "${") && !strings.Contains(text, "$${") {
			t.Errorf("%q left %q", text, got)
		}
	})
}
