package daemon

import (
	"context"
	"log/slog"
	"reflect"
	"sync"

	"github.com/lictor/lictor/internal/local"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/watch"
)

// runWatches follows what the configuration says, and something else after a reload. It asks this
// agent as anybody may.
func (b *base) runWatches(ctx context.Context) error {
	client, err := local.NewClient(&inProcess{b.public}, b.cfg.Partition)
	if err != nil {
		return err
	}
	log := logging.Named(b.log, "watch")
	for ctx.Err() == nil {
		round, stop := context.WithCancel(ctx)
		var running sync.WaitGroup
		for _, w := range b.current.Load().Watches {
			running.Go(func() {
				w.Run(round, client, log, func(c watch.Change) { w.tell(round, log, c) })
			})
		}
		select {
		case <-ctx.Done():
		case <-b.rewatch:
		}
		stop()
		running.Wait()
	}
	return nil
}

// tell runs the handler, and logs what it says.
func (w Watch) tell(ctx context.Context, log *slog.Logger, c watch.Change) {
	var said head
	w.Out, w.Err = &said, &said
	err := w.Handle(ctx, c)
	log = log.With(slog.String("watch", w.Describe()), slog.String("output", string(said)))
	if err != nil && ctx.Err() == nil {
		log.Error("watch handler failed", slog.Any(logging.Err, err))
		return
	}
	log.Debug("watch handler ended")
}

// changeWatches takes up those of a reloaded configuration.
func (b *base) changeWatches(old, next *Config) {
	if reflect.DeepEqual(old.Watches, next.Watches) {
		return
	}
	select {
	case b.rewatch <- struct{}{}:
	default: // it is told already
	}
}

// maxHead is how much a head keeps, in bytes.
const maxHead = 4 << 10

// head is the beginning of what is written to it.
type head []byte

// Write implements io.Writer. It takes everything.
func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), maxHead-len(*h))]...)
	return len(p), nil
}
