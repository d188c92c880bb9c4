// Package discover finds the servers of a cluster in a cloud, by an entry of
// retry_join such as "provider=aws tag_key=role tag_value=consul-server" (spec:
// agent.md section 11). It wraps hashicorp/go-discover, of which it links the provider
// for AWS alone.
package discover

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-discover/provider/aws"
	"github.com/hashicorp/go-hclog"

	"github.com/lictor/lictor/internal/logging"
)

// lookupTime is how long a caller waits for a cloud.
const lookupTime = time.Minute

// Providers are the names that an entry may give to provider.
func Providers() []string { return []string{"aws"} }

// Finder asks clouds for addresses. It is safe for concurrent use.
type Finder struct {
	Log *slog.Logger // hears what is asked, and no secret

	mu      sync.Mutex
	lookups map[string]*lookup // by entry, those that have not ended
}

// lookup is one question to a cloud. Its results are there once done is closed.
type lookup struct {
	done  chan struct{}
	addrs []string
	err   error
}

// Addrs returns the IP addresses, without ports, that an entry stands for. It
// fails if the entry is wrong, if the cloud refuses, and when ctx or lookupTime ends. The
// library cannot be interrupted: a question that hangs is waited for again by whoever asks
// the same next.
func (f *Finder) Addrs(ctx context.Context, entry string) ([]string, error) {
	settings, err := parse(entry)
	if err != nil {
		return nil, fmt.Errorf("discover: %w", err)
	}
	if name := settings["provider"]; !slices.Contains(Providers(), name) {
		return nil, fmt.Errorf("discover: unknown provider %s: this release has %s", name, strings.Join(Providers(), ", "))
	}
	if err := checkAWS(settings); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	l := f.ask(entry, settings)
	select {
	case <-l.done:
		return l.addrs, l.err
	case <-ctx.Done():
		return nil, fmt.Errorf("discover-aws: no answer: %w", ctx.Err())
	}
}

// ask begins a lookup, or joins the one for the same entry.
func (f *Finder) ask(entry string, settings map[string]string) *lookup {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.lookups[entry]; l != nil {
		return l
	}
	l := &lookup{done: make(chan struct{})}
	if f.lookups == nil {
		f.lookups = map[string]*lookup{}
	}
	f.lookups[entry] = l
	go func() {
		defer close(l.done)
		defer func() {
			f.mu.Lock()
			delete(f.lookups, entry)
			f.mu.Unlock()
		}()
		l.addrs, l.err = f.askAWS(settings)
	}()
	return l
}

// askAWS returns an error for an answer that the library does not survive.
func (f *Finder) askAWS(settings map[string]string) (addrs []string, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			addrs, err = nil, fmt.Errorf("discover-aws: an answer that cannot be read: %v", cause)
		}
	}()
	lines := logging.HCLog(f.Log).StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true})
	return new(aws.Provider).Addrs(settings, lines)
}
