package forward

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/peer"
)

const (
	buffered     = 64 << 10         // an answer of known length up to this is complete before any of it is passed on
	writeTimeout = 30 * time.Second // for each part of an answer that the caller takes
)

// ownHop are the headers that concern one connection (RFC 9110 section 7.6.1),
// and those that are written anew.
var ownHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length", peer.HopsHeader,
}

// hops returns how many agents have passed the request on.
func hops(h http.Header) (int, error) {
	text := h.Get(peer.HopsHeader)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil {
		return 0, errs.Errorf(errs.Invalid, "Invalid header %s", peer.HopsHeader)
	}
	return int(n), nil
}

// outgoing returns what is sent for r, which n agents have passed on already.
func outgoing(r *http.Request, n int, body []byte) *http.Request {
	out := &http.Request{
		Method: r.Method,
		URL:    &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
		Header: r.Header.Clone(),
	}
	for _, name := range strings.Split(strings.Join(r.Header.Values("Connection"), ","), ",") {
		out.Header.Del(strings.TrimSpace(name))
	}
	for _, name := range ownHop {
		out.Header.Del(name)
	}
	if out.Header.Get("User-Agent") == "" {
		out.Header.Set("User-Agent", "") // or net/http writes its own
	}
	out.Header.Set(peer.HopsHeader, strconv.Itoa(n+1))
	if n == 0 {
		addCaller(out.Header, r.RemoteAddr)
	}
	if len(body) > 0 {
		out.ContentLength = int64(len(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return out
}

// addCaller puts the caller's address behind those that it claims itself. Whoever
// reads the header on the server port trusts the last one alone.
func addCaller(h http.Header, remote string) {
	caller, err := netip.ParseAddrPort(remote)
	if err != nil { // a unix socket
		h.Del("X-Forwarded-For")
		return
	}
	chain := append(h.Values("X-Forwarded-For"), caller.Addr().Unmap().String())
	h.Set("X-Forwarded-For", strings.Join(chain, ", "))
}

// receive reads a short answer to its end, so that one that breaks off can be
// asked for again instead of reaching the caller in part.
func receive(res *http.Response) error {
	if res.ContentLength < 0 || res.ContentLength > buffered {
		return nil
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return errs.Errorf(errs.Unavailable, "the answer broke off: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// deliver passes res on as it comes in. An answer that breaks off after its
// beginning was sent ends the caller's connection, so that it cannot be taken for whole.
func deliver(w http.ResponseWriter, res *http.Response) error {
	defer res.Body.Close()
	h := w.Header()
	for _, name := range ownHop {
		if name != "Content-Length" {
			res.Header.Del(name)
		}
	}
	for name, values := range res.Header {
		h[name] = values
	}
	w.WriteHeader(res.StatusCode)
	control := http.NewResponseController(w)
	streams := res.ContentLength < 0
	if streams {
		_ = control.Flush()
	}
	part := make([]byte, 32<<10)
	for {
		n, err := res.Body.Read(part)
		if n > 0 {
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it can be set
			if _, failed := w.Write(part[:n]); failed != nil {
				return nil // the caller is gone
			}
			if streams {
				_ = control.Flush()
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			panic(http.ErrAbortHandler)
		}
	}
}
