package httpapi

import (
	"context"
	"net"
	"net/http"
)

// maxWhole is the size in bytes up to which an answer is copied to leave in one piece.
const maxWhole = 64 << 10

type connKey struct{}

// withConn lets writeWhole find the connection of a request, if it is one without TLS.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	if plain, ok := conn.(*limitedConn); ok {
		return context.WithValue(ctx, connKey{}, plain)
	}
	return ctx
}

// writeWhole writes an answer whose length its header says, with one system call where it can. net/http has a buffer
// of 4 KiB: it would send what fits there with the header, wake the caller with that, and then send the rest.
func writeWhole(w http.ResponseWriter, r *http.Request, code int, body []byte) {
	conn, _ := r.Context().Value(connKey{}).(*limitedConn)
	if conn == nil || r.ProtoMajor != 1 || len(body) <= ownLength || len(body) > maxWhole {
		w.WriteHeader(code)
		_, _ = w.Write(body) // a caller that is gone is no fault of ours
		return
	}
	buffer, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	*buffer = (*buffer)[:0]
	conn.held = buffer
	defer conn.release()
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// release writes what was held. Where that fails the connection ends: nobody may take what comes next for
// the rest.
func (c *limitedConn) release() {
	text := *c.held
	c.held = nil
	if len(text) == 0 {
		return
	}
	if _, err := c.Write(text); err != nil {
		_ = c.Close()
	}
}
