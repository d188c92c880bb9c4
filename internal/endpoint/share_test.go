package endpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lictor/lictor/internal/errs"
)

func TestQuestionsAtTheSameTimeAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s share
		asked := 0
		leave := make(chan struct{})
		ask := func(context.Context) (uint64, error) {
			asked++
			n := uint64(asked)
			<-leave
			return n, nil
		}
		answers := make([][]uint64, 3)
		var mu sync.Mutex
		come := func(wave, callers int) {
			for range callers {
				go func() {
					index, err := s.do(t.Context(), ask)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					answers[wave] = append(answers[wave], index)
					mu.Unlock()
				}()
			}
			synctest.Wait()
		}
		come(0, 1)   // its question is under way
		come(1, 100) // these wait for the next
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		leave <- struct{}{}
		synctest.Wait()
		come(2, 10) // the second question was asked before these came
		leave <- struct{}{}
		leave <- struct{}{}
		synctest.Wait()
		for wave, want := range map[int]int{0: 1, 1: 100, 2: 10} {
			if len(answers[wave]) != want {
				t.Errorf("wave %d has %d answers", wave, len(answers[wave]))
			}
			for _, index := range answers[wave] {
				if index != uint64(wave+1) {
					t.Errorf("wave %d is answered by question %d", wave, index)
				}
			}
		}
		if asked != 3 || s.running || s.next != nil {
			t.Errorf("asked %d times; still running: %v", asked, s.running)
		}
	})
}

func TestACallerThatGivesUpLeavesTheQuestionToTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s share
		leave := make(chan struct{})
		ask := func(ctx context.Context) (uint64, error) {
			select {
			case <-leave:
				return 7, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		impatient, cancel := context.WithCancel(t.Context())
		errors1, errors2 := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := s.do(impatient, ask)
			errors1 <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-errors1; errs.KindOf(err) != errs.Unavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("gave up: %v", err)
		}
		go func() {
			index, err := s.do(t.Context(), ask)
			if index != 7 {
				err = errors.Join(err, fmt.Errorf("index %d", index))
			}
			errors2 <- err
		}()
		leave <- struct{}{}
		leave <- struct{}{}
		if err := <-errors2; err != nil {
			t.Error(err)
		}

		began := time.Now() // nobody answers
		if _, err := s.do(t.Context(), ask); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != askTimeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// BenchmarkReadIndexSharing asks one leader that works on each question, from many workers,
// each with a question of its own and sharing them. It reports how many questions a read costs.
func BenchmarkReadIndexSharing(b *testing.B) {
	work := make([]byte, 16<<10) // hashed for each question: some ten microseconds
	for _, workers := range []int{1, 64} {
		for _, shared := range []bool{false, true} {
			b.Run(fmt.Sprintf("x%d/shared=%v", workers, shared), func(b *testing.B) {
				questions := make(chan chan uint64)
				defer close(questions)
				go func() {
					for answer := range questions {
						answer <- uint64(sha256.Sum256(work)[0])
					}
				}()
				var asked atomic.Int64
				ask := func(context.Context) (uint64, error) {
					asked.Add(1)
					answer := make(chan uint64)
					questions <- answer
					return <-answer, nil
				}
				var s share
				b.SetParallelism(workers)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if shared {
							_, _ = s.do(b.Context(), ask)
						} else {
							_, _ = ask(b.Context())
						}
					}
				})
				b.ReportMetric(float64(asked.Load())/float64(b.N), "questions/read")
			})
		}
	}
}
