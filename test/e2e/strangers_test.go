package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/logging"
)

// strangersNice is how far strangers stand back for the processors: they have machines of their own, where there is more than one.
const strangersNice = 10

// storm is what strangers are to do: bad logins, by as many connections of each of three addresses, and
// connections that say something and then nothing more.
type storm struct {
	Server       string // host and port
	Good, Forged string // bearer tokens to spoil
	Logins       int
	Connections  int
	Holds        []hold
}

// hold is connections from an address that begin with something. What they are told, if anything, has to be HTTP and
// begin with Want, and they have to be closed.
type hold struct {
	Name, Begins, From, Want string
	Connections              int
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
	for _, h := range s.Holds {
		for range h.Connections {
			senders.Go(func() {
				if err := h.do(s.Server); err != nil {
					mu.Lock()
					report.Failed = append(report.Failed, h.Name+": "+err.Error())
					mu.Unlock()
				}
			})
		}
	}
	for source := range 3 {
		client := clientFrom(fmt.Sprintf("127.0.0.%d", 2+source))
		for range s.Connections {
			senders.Go(func() {
				for body := range jobs {
					resp, err := client.Post("http://"+s.Server+"/v1/acl/login", "application/json", bytes.NewReader(body))
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

// do opens one of the connections, and waits for its end.
func (h *hold) do(server string) error {
	conn, err := openFrom(server, h.From, h.Begins)
	if conn == nil {
		return err
	}
	said, err := gone(conn)
	if err != nil {
		return fmt.Errorf("the connection stays open: %w", err)
	}
	if said != "" && !strings.HasPrefix(said, "HTTP/1.1 "+h.Want) {
		return fmt.Errorf("answered %.100q", said)
	}
	return nil
}

// openFrom opens a connection from an address and writes what a client begins with, and no more. There may be a connection
// and an error: the server has closed it.
func openFrom(server, from, begins string) (net.Conn, error) {
	conn, err := dialerFrom(from).Dial("tcp", server)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(conn, begins)
	return conn, err
}

// gone waits for the server to close a connection, or to answer on it, and returns what it said.
func gone(conn net.Conn) (string, error) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	said, err := io.ReadAll(io.LimitReader(conn, 4096))
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		return "", err
	}
	return string(said), nil // a reset is an end as well
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
func (b *besieged) gather(order storm) *strangers {
	b.t.Helper()
	order.Server, order.Good = b.files.http, b.bearer()
	var err error
	if order.Forged, err = spoil("forged", logging.Secret(order.Good)); err != nil {
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

// send has the strangers do what they were told. The report comes when it is over.
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

// besiege has the honest client log in for as long as strangers do what they were told, at least once with each token.
func (b *besieged) besiege(strangers *strangers, honest *http.Client, bearers []string) ([]time.Duration, stormReport) {
	b.t.Helper()
	over := strangers.send()
	var took []time.Duration
	for {
		took = append(took, b.honest(honest, bearers)...)
		select {
		case report := <-over:
			slices.Sort(took)
			b.t.Logf("%v of attacks: answers %v, %d of them with Retry-After; %d honest logins meanwhile",
				report.Took.Round(time.Millisecond), report.Statuses, report.RetryAfter, len(took))
			if len(report.Failed) > 0 {
				b.t.Errorf("%d attacks failed, one of them with %s", len(report.Failed), report.Failed[0])
			}
			return took, report
		default:
		}
	}
}

// clientFrom returns a client with connections from an address of this host.
func clientFrom(address string) *http.Client {
	return &http.Client{Timeout: 2 * patience, Transport: &http.Transport{DialContext: dialerFrom(address).DialContext, MaxIdleConnsPerHost: 512}}
}

func dialerFrom(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}, Timeout: patience}
}
