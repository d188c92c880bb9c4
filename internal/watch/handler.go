package watch

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Handler is who is told of a change: a command, or an HTTP server.
type Handler struct {
	Args  []string // a command with its arguments
	Shell string   // with one, the command is Args[0] and Shell interprets it
	// Out and Err take what a command prints; nil is nowhere.
	Out, Err io.Writer

	URL           string
	Method        string // empty is POST
	Header        map[string][]string
	Timeout       time.Duration // 0 is 10 seconds
	TLSSkipVerify bool
}

const (
	httpTimeout = 10 * time.Second
	maxReason   = 4 << 10 // bytes of an answer that are read
)

// Handle tells of c: as JSON on the command's standard input, or as the body of a
// request. It returns when the command has ended or the server has answered.
func (h Handler) Handle(ctx context.Context, c Change) error {
	body, err := json.Marshal(c.Value)
	if err != nil {
		return err
	}
	if h.URL != "" {
		return h.post(ctx, c, body)
	}
	return h.run(ctx, c, append(body, '\n'))
}

func (h Handler) run(ctx context.Context, c Change, body []byte) error {
	if len(h.Args) == 0 {
		return errors.New("the watch has no handler")
	}
	cmd := exec.CommandContext(ctx, h.Args[0], h.Args[1:]...)
	if h.Shell != "" {
		cmd = exec.CommandContext(ctx, h.Shell, "-c", h.Args[0])
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(body), h.Out, h.Err
	cmd.Env = append(os.Environ(), "CONSUL_INDEX="+strconv.FormatUint(c.Index, 10))
	cmd.WaitDelay = time.Second // for those that leave children with its output open
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return err
	}
	return nil
}

func (h Handler) post(ctx context.Context, c Change, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, httpTimeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, cmp.Or(h.Method, http.MethodPost), h.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	for name, values := range h.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("X-Consul-Index", strconv.FormatUint(c.Index, 10))
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: h.TLSSkipVerify},
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	reason, _ := io.ReadAll(io.LimitReader(res.Body, maxReason))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the handler answered %d: %s", res.StatusCode, bytes.TrimSpace(reason))
	}
	return nil
}
