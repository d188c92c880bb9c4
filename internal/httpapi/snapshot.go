package httpapi

import (
	"io"
	"net/http"
	"time"
)

var snapshotRoutes = []route{
	{http.MethodGet, "/v1/snapshot", OnServer, "acl:write", "snapshot.save", (*API).snapshotSave, noNamespace},
	{http.MethodPut, "/v1/snapshot", OnLeader, "acl:write", "snapshot.restore", (*API).snapshotRestore, longBody | noNamespace},
}

// snapshotSave handles GET /v1/snapshot. An archive that breaks off ends the
// connection, so that it cannot be taken for whole.
func (a *API) snapshotSave(r *request) (any, error) {
	saved, meta, err := a.Snapshots.Save(r.Context(), r.caller, r.read)
	if err != nil {
		return nil, err
	}
	r.meta = &meta
	return stream(func(w http.ResponseWriter) {
		defer saved.Close()
		w.Header().Set("Content-Type", "application/x-gzip")
		out := &timedWriter{w, http.NewResponseController(w)}
		if err := saved.Write(out); err != nil {
			if r.Context().Err() == nil {
				a.Log.Error("a snapshot broke off", "from", r.RemoteAddr, "error", err)
			}
			panic(http.ErrAbortHandler)
		}
	}), nil
}

// snapshotRestore handles PUT /v1/snapshot.
func (a *API) snapshotRestore(r *request) (any, error) {
	body := io.Reader(r.Body)
	if r.Body == nil {
		body = http.NoBody
	}
	return empty{}, a.Snapshots.Restore(r.Context(), r.caller, body)
}

// timedWriter gives each part of a long answer its own time.
type timedWriter struct {
	io.Writer
	control *http.ResponseController
}

func (w *timedWriter) Write(p []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it can be set
	return w.Writer.Write(p)
}
