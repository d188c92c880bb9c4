package gossip

import (
	"fmt"
	"strings"
)

// Errors is several failures in the layout of the API's answers (agent.md
// section 6): a line that counts them, a line each, and an empty one.
type Errors []string

func (e Errors) Error() string {
	var text strings.Builder
	plural := "s"
	if len(e) == 1 {
		plural = ""
	}
	fmt.Fprintf(&text, "%d error%s occurred:", len(e), plural)
	for _, line := range e {
		text.WriteString("\n\t* " + line)
	}
	return text.String() + "\n\n"
}
