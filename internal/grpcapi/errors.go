package grpcapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
)

// outcome is how an error ends a call: in gRPC, and as the HTTP status of the same error.
type outcome struct {
	code   codes.Code
	status int
}

var outcomes = map[errs.Kind]outcome{
	errs.Internal:     {codes.Internal, http.StatusInternalServerError},
	errs.Invalid:      {codes.InvalidArgument, http.StatusBadRequest},
	errs.NotFound:     {codes.NotFound, http.StatusNotFound},
	errs.Denied:       {codes.PermissionDenied, http.StatusForbidden},
	errs.Unauthorized: {codes.Unauthenticated, http.StatusUnauthorized},
	errs.Conflict:     {codes.Aborted, http.StatusConflict},
	errs.Unavailable:  {codes.Unavailable, http.StatusServiceUnavailable},
	errs.Throttled:    {codes.ResourceExhausted, http.StatusTooManyRequests},
}

// answer turns the error that ends a call into what the other side is told, and the HTTP status for
// the audit trail. What went wrong inside is logged, not told.
func answer(err error, log *slog.Logger) (code int, told error) {
	switch already, ok := status.FromError(err); {
	case err == nil:
		return http.StatusOK, nil
	case errors.Is(err, acl.ErrNotFound):
		return http.StatusForbidden, status.Error(codes.Unauthenticated, "unauthenticated: "+acl.ErrNotFound.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		ok && (already.Code() == codes.Canceled || already.Code() == codes.DeadlineExceeded):
		return http.StatusOK, status.Error(codes.Canceled, "the stream has ended")
	case ok && already.Code() == codes.Unimplemented:
		return http.StatusNotFound, already.Err()
	case ok:
		return http.StatusInternalServerError, already.Err()
	}
	out := outcomes[errs.KindOf(err)]
	text := err.Error()
	if out.code == codes.Internal {
		log.Error("a call of gRPC failed", logging.Err, err)
		text = "internal error"
	}
	return out.status, status.Error(out.code, text)
}
