package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// strangersNice is how far strangers stand back for the processors: they have machines of their own, where there is more than one.
const strangersNice = 10

// storm is what strangers are to send: bad logins, by as many connections of each of three addresses.
type storm struct {
	URL          string
	Good, Forged string // bearer tokens to spoil
	Logins       int
	Connections  int
}

// stormReport is what strangers were answered.
type stormReport struct {
	Statuses   map[int]int
	RetryAfter int // of those that were told to come back
	Failed     []string
	Took       time.Duration
}

// strangersCommand is a process of the tests: it reads a storm, says when it is ready, sends it when it is told to, and
// prints its report.
func strangersCommand() {
	in := bufio.NewReader(os.Stdin)
	var s storm
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	var bodies [][]byte
	if err == nil {
		bodies, err = s.bodies()
	}
	if err == nil {
		fmt.Println("ready")
		_, err = in.ReadBytes('\n')
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(s.send(bodies))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bodies are logins that are refused, each in another way: some by the server itself, the others by AWS.
func (s *storm) bodies() ([][]byte, error) {
	bad, err := badTokens(s.Good, s.Forged, s.Logins)
	bodies := make([][]byte, len(bad))
	for i, token := range bad {
		if bodies[i], err = json.Marshal(map[string]string{"AuthMethod": "ecs", "BearerToken": token}); err != nil {
			return nil, err
		}
	}
	return bodies, err
}

func (s *storm) send(bodies [][]byte) stormReport {
	report := stormReport{Statuses: map[int]int{}}
	var mu sync.Mutex
	jobs := make(chan []byte)
	var senders sync.WaitGroup
	begun := time.Now()
	for source := range 3 {
		client := clientFrom(fmt.Sprintf("127.0.0.%d", 2+source))
		for range s.Connections {
			senders.Go(func() {
				for body := range jobs {
					resp, err := client.Post(s.URL, "application/json", bytes.NewReader(body))
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						_ = resp.Body.Close()
					}
					mu.Lock()
					if err != nil {
						report.Failed = append(report.Failed, err.Error())
					} else {
						report.Statuses[resp.StatusCode]++
						if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "" {
							report.RetryAfter++
						}
					}
					mu.Unlock()
				}
			})
		}
	}
	for _, body := range bodies {
		jobs <- body
	}
	close(jobs)
	senders.Wait()
	report.Took = time.Since(begun)
	return report
}

// badTokens spoils bearer tokens in several ways.
func badTokens(good, forged string, n int) ([]string, error) {
	bad := make([]string, n)
	for i := range bad {
		switch i % 8 {
		case 0:
			bad[i] = strings.Repeat("[", 60<<10)
		case 1:
			bad[i] = good[:rand.N(len(good))]
		case 2:
			bad[i] = strings.Repeat("x", 64<<10)
		case 3:
			claimed, err := claim(forged, fmt.Sprint("role-", rand.IntN(1<<30)))
			if err != nil {
				return nil, err
			}
			bad[i] = claimed
		default:
			bad[i] = forged
		}
	}
	return bad, nil
}

// claim makes a token say that it is somebody else's.
func claim(token, role string) (string, error) {
	var outer map[string]string
	if err := json.Unmarshal([]byte(token), &outer); err != nil {
		return "", err
	}
	outer["iam_request_headers"] = encode(strings.ReplaceAll(decode(outer["iam_request_headers"]), "RoleName=web", "RoleName="+role))
	text, err := json.Marshal(outer)
	return string(text), err
}

// strangers are a process that has its storm ready.
type strangers struct {
	t   *testing.T
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

// gather starts strangers, who wait to be told.
func (b *besieged) gather(logins int) *strangers {
	b.t.Helper()
	good := b.bearer()
	forged, err := spoil("forged", logging.Secret(good))
	if err != nil {
		b.t.Fatal(err)
	}
	s := &strangers{t: b.t, cmd: exec.CommandContext(b.t.Context(), "strangers")}
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		b.t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	order := storm{URL: "http://" + b.files.http + "/v1/acl/login", Good: good, Forged: forged, Logins: logins, Connections: 150}
	if err := json.NewEncoder(s.in).Encode(order); err != nil {
		b.t.Fatal(err)
	}
	if line, err := s.out.ReadString('\n'); err != nil || line != "ready\n" {
		b.t.Fatalf("strangers say %q, %v", line, err)
	}
	if err := syscall.Setpriority(syscall.PRIO_PGRP, s.cmd.Process.Pid, strangersNice); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// send has the strangers send their storm. The report comes when it is over.
func (s *strangers) send() <-chan stormReport {
	s.t.Helper()
	if _, err := s.in.Write([]byte("go\n")); err != nil {
		s.t.Fatal(err)
	}
	over := make(chan stormReport, 1)
	go func() {
		defer close(over)
		var report stormReport
		err := json.NewDecoder(s.out).Decode(&report)
		if werr := s.cmd.Wait(); err != nil || werr != nil {
			s.t.Errorf("strangers: %v, %v", err, werr)
		}
		over <- report
	}()
	return over
}

// clientFrom returns a client with connections from an address of this host.
func clientFrom(address string) *http.Client {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
	return &http.Client{Timeout: 2 * patience, Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 512}}
}
