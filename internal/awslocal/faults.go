package awslocal

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"time"
)

// Fault says how a call goes wrong. The zero value lets it go right.
//
//	Fault{Status: 400, Code: "Throttling"}                        throttled
//	Fault{Status: 503, Code: "ServiceUnavailable"}                failed
//	Fault{Cut: true}                                              cut off without an answer
//	Fault{Delay: time.Minute}                                     slow, then right
//	Fault{Status: 302, Location: "http://127.0.0.1:1/"}           redirected
//	Fault{Status: 200, Size: 10 << 20}                            huge
//	Fault{Status: 200, ContentType: "text/html", Body: "<html>"}  of the wrong kind
type Fault struct {
	Delay       time.Duration // before whatever follows
	Cut         bool          // close the connection without an answer
	Status      int           // answer with this instead of doing what was asked
	Code        string        // makes the answer an error of AWS with this code
	Location    string        // header of the answer
	ContentType string        // header of the answer; text/xml when empty
	Body        string        // of the answer, unless Code is set
	Size        int           // bytes of the answer, filled up with spaces
}

// answer is what f answers to a call of service instead of the right answer.
func (f Fault) answer(service string) answer {
	if f.Cut {
		return answer{cut: true}
	}
	a := answer{status: f.Status, header: http.Header{}, body: []byte(f.Body)}
	if f.Code != "" {
		a = errorAnswer(service, refuse(f.Status, f.Code, "Injected fault"))
	}
	if f.ContentType != "" || f.Code == "" {
		a.header.Set("Content-Type", cmp.Or(f.ContentType, "text/xml"))
	}
	if f.Location != "" {
		a.header.Set("Location", f.Location)
	}
	if missing := f.Size - len(a.body); missing > 0 {
		a.body = append(a.body, strings.Repeat(" ", missing)...)
	}
	return a
}

// wait is false when ctx ended before d was over.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
