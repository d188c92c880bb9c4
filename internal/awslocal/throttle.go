package awslocal

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// Limit is how many calls an account may make: Rate a second on average, and Burst at once. The zero
// value is no limit.
type Limit struct {
	Rate  float64
	Burst int
}

// bucket holds what is left of a Limit.
type bucket struct {
	tokens float64
	at     time.Time
}

type bucketKey struct{ api, account string }

// Throttle limits the calls of an API from now on, per account. api is a service such as "iam", or one
// of its actions such as "sts:GetCallerIdentity", whose limit then counts instead of the service's.
// A call beyond the limit is answered with HTTP 400 and the code Throttling, in the JSON
// protocol ThrottlingException, after its signature was verified.
func (s *Server) Throttle(api string, l Limit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits[api] = l
	for key := range s.buckets {
		if key.api == api {
			delete(s.buckets, key)
		}
	}
}

// throttled refuses a call that is beyond the limit.
func (s *Server) throttled(service, action, account string) *apiError {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	api := service + ":" + action
	if _, ok := s.limits[api]; !ok {
		api = service
	}
	l := s.limits[api]
	if l.Rate <= 0 {
		return nil
	}
	key := bucketKey{api, account}
	b, ok := s.buckets[key]
	if !ok {
		b = bucket{tokens: float64(max(l.Burst, 1)), at: now}
	}
	b.tokens = min(float64(max(l.Burst, 1)), b.tokens+now.Sub(b.at).Seconds()*l.Rate)
	b.at = now
	taken := b.tokens >= 1
	if taken {
		b.tokens--
	}
	s.buckets[key] = b
	if !taken {
		return refuse(http.StatusBadRequest, "Throttling", "Rate exceeded")
	}
	return nil
}

// Counter says of what calls are counted. Service and Action are as in Call. Role is the name of the
// role that called and Session its session, for a task the task's id; both are
// empty for users and for who was not authenticated.
type Counter struct{ Service, Action, Role, Session string }

// Count is how many calls of a Counter there were.
type Count struct {
	Counter
	Calls     int // all of them, however they were answered
	Throttled int
	Failed    int // not answered with HTTP 200, the throttled ones among them
}

// Counts returns what was called so far, sorted, of all counters that are equal to like in the fields
// that are not empty there.
func (s *Server) Counts(like Counter) []Count {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Count
	for c, n := range s.counts {
		if like.covers(c) {
			found = append(found, *n)
		}
	}
	slices.SortFunc(found, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Action, b.Action),
			cmp.Compare(a.Role, b.Role), cmp.Compare(a.Session, b.Session))
	})
	return found
}

// Total adds up what Counts returns.
func (s *Server) Total(like Counter) Count {
	total := Count{Counter: like}
	for _, c := range s.Counts(like) {
		total.Calls += c.Calls
		total.Throttled += c.Throttled
		total.Failed += c.Failed
	}
	return total
}

func (c Counter) covers(other Counter) bool {
	same := func(want, have string) bool { return want == "" || want == have }
	return same(c.Service, other.Service) && same(c.Action, other.Action) && same(c.Role, other.Role) && same(c.Session, other.Session)
}

// count remembers a call that was answered. Of calls that no service here knows it keeps no counters of
// their own, since anybody can make up their names.
func (s *Server) count(call Call) {
	c := Counter{Role: call.role, Session: call.session}
	if call.known() {
		c.Service, c.Action = call.Service, call.Action
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[c]
	if n == nil {
		n = &Count{Counter: c}
		s.counts[c] = n
	}
	n.Calls++
	if call.Status != http.StatusOK {
		n.Failed++
	}
	if call.Code == "Throttling" || call.Code == "ThrottlingException" {
		n.Throttled++
	}
}

// known says whether there is such an action.
func (c Call) known() bool {
	_, query := services[c.Service].actions[c.Action]
	_, inJSON := jsonServices[c.Service].actions[c.Action]
	return query || inJSON || c.Service == "metadata" || c.Service == "credentials"
}

// by says who called.
func (c *Call) by(who principal) {
	c.Principal = who.callerARN()
	if who.kind == "role" {
		c.role, c.session = who.name, who.session
	}
}
