package awslocal

import (
	"testing"
	"time"
)

func TestThrottle(t *testing.T) {
	c := newClock()
	s := start(t, Demo(), Options{Now: c.now})
	task := startTask(t, s, TaskSpec{Role: "web"})
	key, _ := keyOf(t, task)
	s.Throttle("iam", Limit{Rate: 2, Burst: 3})
	s.Throttle("sts:GetCallerIdentity", Limit{Rate: 0.1})
	s.Throttle("ecs", Limit{Rate: 1})
	role := func() reply { return ask(t, s, key, "iam", "Action=GetRole&RoleName=web&Version=2010-05-08") }
	for range 3 {
		expect(t, role(), 200, "web")
	}
	expect(t, role(), 400, "<Code>Throttling</Code><Message>Rate exceeded</Message>")
	c.add(500 * time.Millisecond)
	expect(t, role(), 200, "web")
	expect(t, role(), 400, "<Code>Throttling</Code>")

	expect(t, ask(t, s, key, "sts", identityBody), 200, "web")
	expect(t, ask(t, s, key, "sts", identityBody), 400, "<Code>Throttling</Code>")
	var out listTasksResult
	if got := askJSON(t, s, demoKey, "ecs", "ListTasks", map[string]any{}, &out); got.status != 200 {
		t.Errorf("got %s", got.body)
	}
	refused(t, askJSON(t, s, demoKey, "ecs", "StopTask", map[string]any{"task": "x"}, nil), "ThrottlingException")

	forged := key
	forged.SecretAccessKey += "x"
	expect(t, ask(t, s, forged, "sts", identityBody), 403, "<Code>SignatureDoesNotMatch</Code>")

	s.Throttle("iam", Limit{})
	for range 5 {
		expect(t, role(), 200, "web")
	}
	for _, want := range []Count{
		{Counter{Service: "iam", Role: "web", Session: task.ID}, 11, 2, 2},
		{Counter{Action: "GetCallerIdentity"}, 3, 1, 2},
		{Counter{Service: "sts", Session: task.ID}, 2, 1, 1},
		{Counter{Service: "credentials", Session: task.ID}, 1, 0, 0},
		{Counter{Service: "ecs", Role: "web"}, 0, 0, 0},
	} {
		if got := s.Total(want.Counter); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if all := s.Counts(Counter{Service: "ecs"}); len(all) != 2 || all[0].Action != "ListTasks" || all[1].Throttled != 1 {
		t.Errorf("got %+v", all)
	}
}

// The bucket never holds more than the burst, however long nobody called.
func TestThrottleAfterAPause(t *testing.T) {
	c := newClock()
	s := start(t, Demo(), Options{Now: c.now})
	s.Throttle("sts", Limit{Rate: 100, Burst: 2})
	c.add(time.Hour)
	throttled := 0
	for range 5 {
		if s.throttled("sts", "GetCallerIdentity", DemoAccount) != nil {
			throttled++
		}
	}
	if throttled != 3 {
		t.Errorf("%d of 5 throttled", throttled)
	}
}

func TestUnknownCallsAreCountedTogether(t *testing.T) {
	s := start(t, Demo(), Options{})
	for _, body := range []string{"Action=A&Version=2011-06-15", "Action=B&Version=2011-06-15"} {
		ask(t, s, demoKey, "sts", body)
	}
	if all := s.Counts(Counter{}); len(all) != 1 || all[0] != (Count{Calls: 2, Failed: 2}) {
		t.Errorf("got %+v", all)
	}
}
