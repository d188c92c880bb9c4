package dev

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// report shows each step as it happens: what was done, what it proved and how long
// it took. It is used by one goroutine.
type report struct {
	out   io.Writer
	color bool
	now   func() time.Time
	steps int
}

// step is one thing that has to hold. run returns in a few words what it
// proved.
type step struct {
	title string
	run   func(ctx context.Context) (proof string, err error)
}

const titleWidth = 44

// section starts a group of steps.
func (r *report) section(name string) {
	fmt.Fprintf(r.out, "\n%s\n", r.paint(bold, name))
}

// do runs steps in order and stops at the first that fails.
func (r *report) do(ctx context.Context, steps ...step) error {
	for _, s := range steps {
		began := r.now()
		proof, err := s.run(ctx)
		took := r.now().Sub(began)
		if err != nil {
			fmt.Fprintf(r.out, "  %s %s\n", r.paint(red, "✗"), s.title)
			return fmt.Errorf("%s: %w", s.title, err)
		}
		r.steps++
		pad := strings.Repeat(" ", max(1, titleWidth-utf8.RuneCountInString(s.title)))
		fmt.Fprintf(r.out, "  %s %s%s%s  %s\n", r.paint(green, "✓"), s.title, pad, r.paint(dim, fmt.Sprintf("%8s", roundly(took))), proof)
	}
	return nil
}

// roundly prints a duration with the digits a reader cares about.
func roundly(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

type style string

const (
	bold  style = "1"
	dim   style = "2"
	red   style = "31"
	green style = "32"
)

func (r *report) paint(s style, text string) string {
	if !r.color {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}
