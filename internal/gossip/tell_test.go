package gossip

import (
	"strings"
	"testing"
)

// heard collects what a member is told.
func heard(into chan<- string) func(*Config) {
	return func(c *Config) { c.Heard = func(text []byte, at uint64) { into <- string(text) } }
}

func TestEveryMemberIsTold(t *testing.T) {
	t.Parallel()
	a, b := make(chan string, 10), make(chan string, 10)
	one, two := start(t, "one", asServer, heard(a)), start(t, "two", heard(b))
	two.join(one)
	most := strings.Repeat("x", MaxTold)
	for _, text := range []string{"hello", most} {
		if err := two.Tell([]byte(text)); err != nil {
			t.Fatal(err)
		}
		for name, ch := range map[string]chan string{"one": a, "two": b} {
			if got := <-ch; got != text {
				t.Errorf("%s heard %d bytes, want %d", name, len(got), len(text))
			}
		}
	}
	if err := one.Tell([]byte(most + "x")); err == nil {
		t.Error("more than fits in a packet is sent")
	}
	eventually(t, "nothing is left", func() bool { return len(a) == 0 && len(b) == 0 })
}

func TestAnEncryptedMessageOfTheGreatestSizeArrives(t *testing.T) {
	t.Parallel()
	key, b := newKey(), make(chan string, 10)
	one, two := start(t, "one", asServer, withKey(key)), start(t, "two", heard(b), withKey(key))
	two.join(one)
	most := strings.Repeat("x", MaxTold)
	if err := one.Tell([]byte(most)); err != nil {
		t.Fatal(err)
	}
	if got := <-b; got != most {
		t.Errorf("%d bytes", len(got))
	}
}
