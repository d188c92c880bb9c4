package config

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/lictor/lictor/internal/daemon"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/watch"
)

// watchBlock is a watches block as files have it (spec: agent.md section 4).
type watchBlock struct {
	Type, Key, Prefix, Service, ServiceID, State, Name, Filter string
	Tag                                                        any // a string or a list of them
	PassingOnly, Stale                                         bool
	Datacenter                                                 string
	Token                                                      logging.Secret

	Handler           string // a command for the shell; args is newer
	Args              []string
	HandlerType       string // "script", which is the default, or "http"
	HTTPHandlerConfig *struct {
		Path          string // a URL
		Method        string
		Header        map[string][]string
		Timeout       time.Duration
		TLSSkipVerify bool
	}
}

// watch checks the block and returns what the agent runs.
func (b *watchBlock) watch() (daemon.Watch, error) {
	tags, err := stringList(b.Tag)
	if err != nil {
		return daemon.Watch{}, fmt.Errorf("tag: %w", err)
	}
	var w daemon.Watch
	w.Query = watch.Query{
		Datacenter: b.Datacenter, Token: b.Token, Type: b.Type, Key: b.Key, Prefix: b.Prefix, Service: b.Service, ServiceID: b.ServiceID, State: b.State, Name: b.Name,
		Filter: b.Filter, Tags: tags, PassingOnly: b.PassingOnly, Stale: b.Stale,
	}
	if err := w.Query.Validate(); err != nil {
		return w, err
	}
	switch h := b.HTTPHandlerConfig; {
	case b.HandlerType == "http" && (h == nil || h.Path == ""):
		return w, errors.New("Handler type 'http' requires 'http_handler_config' with a 'path'")
	case b.HandlerType == "http":
		w.Handler = watch.Handler{URL: h.Path, Method: h.Method, Header: h.Header, Timeout: h.Timeout, TLSSkipVerify: h.TLSSkipVerify}
	case b.HandlerType != "" && b.HandlerType != "script":
		return w, fmt.Errorf("Handler type '%s' not recognized", b.HandlerType)
	case b.Handler != "" && len(b.Args) > 0:
		return w, errors.New("Only one of 'handler' and 'args' may be given")
	case b.Handler != "":
		shell := os.Getenv("SHELL")
		if shell == "" {
			shell = "/bin/sh"
		}
		w.Handler = watch.Handler{Args: []string{b.Handler}, Shell: shell}
	case len(b.Args) > 0:
		w.Handler = watch.Handler{Args: b.Args}
	default:
		return w, errors.New("Must define a watch handler: 'args', or 'handler_type' 'http'")
	}
	return w, nil
}

func stringList(v any) ([]string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case []any:
		var all []string
		for _, e := range v {
			s, ok := e.(string)
			if !ok {
				return nil, errors.New("expected a string or a list of strings")
			}
			all = append(all, s)
		}
		return all, nil
	}
	return nil, errors.New("expected a string or a list of strings")
}
