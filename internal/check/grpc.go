package check

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	grpcHealthPath = "/grpc.health.v1.Health/Check"
	grpcServing    = 1
	grpcMaxAnswer  = 4 << 10 // bytes
)

// The codes of gRPC that a probe gives itself.
const (
	grpcUnknown          = 2
	grpcDeadlineExceeded = 4
	grpcInternal         = 13
	grpcUnavailable      = 14
)

var grpcCodes = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
	"PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
	"Internal", "Unavailable", "DataLoss", "Unauthenticated",
}

var errNotServing = errors.New("gRPC application didn't report service healthy")

// grpcProbe asks a gRPC server for its health, by the health checking protocol
// spoken over the HTTP/2 of net/http (docs/decisions/0011-grpc-health.md).
type grpcProbe struct {
	target   string // as defined
	addr     string
	service  string // empty is the server as a whole
	useTLS   bool
	security security
}

func newGRPCProbe(d *Definition, o *Options) *grpcProbe {
	addr, service, _ := strings.Cut(d.GRPC, "/")
	return &grpcProbe{target: d.GRPC, addr: addr, service: service, useTLS: d.GRPCUseTLS, security: newSecurity(d, o)}
}

func (p *grpcProbe) probe(ctx context.Context) Status {
	serving, err := p.ask(ctx)
	switch {
	case err != nil:
		return failure(err)
	case serving != grpcServing:
		return failure(errNotServing)
	}
	return Status{Passing, fmt.Sprintf("gRPC check %s: success", p.target)}
}

// ask returns the ServingStatus that the server answers.
func (p *grpcProbe) ask(ctx context.Context) (uint64, error) {
	transport := newTransport(p.security.config("h2"))
	defer transport.CloseIdleConnections()
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP2(p.useTLS)
	transport.Protocols.SetUnencryptedHTTP2(!p.useTLS)
	scheme := "http"
	if p.useTLS {
		scheme = "https"
	}
	u := url.URL{Scheme: scheme, Host: p.addr, Path: grpcHealthPath}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(grpcRequest(p.service)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set("Grpc-Timeout", strconv.FormatInt(min(time.Until(deadline).Milliseconds()+1, 1e8-1), 10)+"m")
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, grpcDialError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	return grpcAnswer(ctx, resp)
}

// grpcAnswer reads an answer: one message, and the status in the trailer, or
// in the header of an answer without a message.
func grpcAnswer(ctx context.Context, resp *http.Response) (uint64, error) {
	kind := resp.Header.Get("Content-Type")
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "application/grpc") {
		return 0, grpcError(grpcUnknown, fmt.Sprintf("unexpected answer: HTTP status %d, content type %q", resp.StatusCode, kind))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, grpcMaxAnswer+1))
	if err != nil {
		return 0, grpcDialError(ctx, err)
	}
	if len(body) > grpcMaxAnswer {
		return 0, grpcError(grpcInternal, "the answer is too long")
	}
	trailer := resp.Trailer
	if trailer.Get("Grpc-Status") == "" {
		trailer = resp.Header
	}
	code, err := strconv.ParseUint(trailer.Get("Grpc-Status"), 10, 32)
	if err != nil {
		return 0, grpcError(grpcInternal, "the answer has no status")
	}
	if code != 0 {
		message := trailer.Get("Grpc-Message")
		if plain, err := url.PathUnescape(message); err == nil {
			message = plain
		}
		return 0, grpcError(code, message)
	}
	status, err := parseGRPCAnswer(body)
	if err != nil {
		return 0, grpcError(grpcInternal, err.Error())
	}
	return status, nil
}

func grpcDialError(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return grpcError(grpcDeadlineExceeded, ctx.Err().Error())
	}
	return grpcError(grpcUnavailable, err.Error())
}

func grpcError(code uint64, message string) error {
	name := strconv.FormatUint(code, 10)
	if code < uint64(len(grpcCodes)) {
		name = grpcCodes[code]
	}
	return fmt.Errorf("rpc error: code = %s desc = %s", name, message)
}

// grpcRequest returns a HealthCheckRequest, whose field 1 is the service, after
// its prefix: not compressed, and its length.
func grpcRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service)))
		message = append(message, service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

var errGRPCAnswer = errors.New("the answer cannot be read")

// parseGRPCAnswer returns field 1 of a HealthCheckResponse, a ServingStatus.
// Fields that it does not know are passed over.
func parseGRPCAnswer(body []byte) (status uint64, err error) {
	if len(body) < 5 || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:5])) != uint64(len(body)-5) {
		return 0, errGRPCAnswer
	}
	for rest := body[5:]; len(rest) > 0; {
		var tag, value uint64
		if tag, rest, err = protoVarint(rest); err != nil {
			return 0, err
		}
		skip := uint64(0)
		switch tag & 7 {
		case 0:
			if value, rest, err = protoVarint(rest); err == nil && tag>>3 == 1 {
				status = value
			}
		case 1:
			skip = 8
		case 2:
			skip, rest, err = protoVarint(rest)
		case 5:
			skip = 4
		default:
			err = errGRPCAnswer
		}
		if err != nil || skip > uint64(len(rest)) {
			return 0, errGRPCAnswer
		}
		rest = rest[skip:]
	}
	return status, nil
}

func protoVarint(b []byte) (value uint64, rest []byte, err error) {
	value, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, errGRPCAnswer
	}
	return value, b[n:], nil
}
