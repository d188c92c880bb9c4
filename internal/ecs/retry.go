package ecs

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/sleep"
)

// class says what an error tells about another attempt.
type class uint8

const (
	temporary class = iota // something is not there yet, or down: ask again soon
	throttled              // too many ask at once: ask again later
	refused                // an operator has to change something: ask seldom
	permanent              // another attempt gives the same
)

// backoff bounds the waits after errors of a class.
type backoff struct{ first, most time.Duration }

var backoffs = [...]backoff{
	temporary: {100 * time.Millisecond, 5 * time.Second},
	throttled: {time.Second, 30 * time.Second},
	refused:   {time.Second, 30 * time.Second},
}

// wait returns how long to wait after the n-th failure, counted from 0: any time up to a bound
// that doubles, so that tasks that started together do not come back together.
func (b backoff) wait(n int) time.Duration {
	bound := b.most
	if n < 16 {
		bound = min(b.most, b.first<<n)
	}
	return rand.N(bound) + time.Millisecond
}

// retry runs try until it succeeds, fails for good, or ctx is done; it returns the last error
// then. It logs each failure as complaint.
func retry(ctx context.Context, log *slog.Logger, complaint string, try func(context.Context) error) error {
	for n := 0; ; n++ {
		err := try(ctx)
		if err == nil {
			return nil
		}
		c := classOf(err)
		if c == permanent || ctx.Err() != nil {
			return err
		}
		wait := backoffs[c].wait(n)
		log.Error(complaint, logging.Err, err, "retry_in", wait.Round(time.Millisecond))
		if !sleep.For(ctx, wait) {
			return err
		}
	}
}

func classOf(err error) class {
	var status api.StatusError
	if errors.As(err, &status) {
		return classOfStatus(status)
	}
	switch errs.KindOf(err) {
	case errs.Throttled:
		return throttled
	case errs.Invalid:
		return permanent
	case errs.Denied:
		return refused
	}
	return temporary
}

func classOfStatus(err api.StatusError) class {
	switch {
	case err.Code == http.StatusTooManyRequests || strings.Contains(err.Body, "Throttling") || strings.Contains(err.Body, "rate limit"):
		return throttled
	case err.Code == http.StatusBadRequest, err.Code == http.StatusForbidden, err.Code == http.StatusUnauthorized:
		return refused
	}
	return temporary
}
