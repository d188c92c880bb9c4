package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// ways lead to a service that echoes, over two hops each, as from one proxy to the other: the built-in proxy and, beside
// it, relays that only copy, with mutual TLS between them or without.
var ways = []struct {
	name    string
	address func(b *testing.B) string
}{
	{"TCP relays", func(b *testing.B) string {
		return bare(b, nil, bareDial(bare(b, nil, bareDial(echo(b, ""), nil)), nil))
	}},
	{"TLS relays", func(b *testing.B) string {
		cert := newAgent(b).certificate(serviceID("api"), time.Hour)
		server := &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true}
		client := &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true}
		return bare(b, nil, bareDial(bare(b, server, bareDial(echo(b, ""), nil)), client))
	}},
	{"built-in proxy", func(b *testing.B) string {
		a := newAgent(b)
		in := a.start(Config{Settings: publicFor("api", echo(b, ""))})
		a.change(func() { a.instances["api"] = []string{in.at[PublicListener]} })
		return a.start(Config{Settings: upstreamTo("web", "api")}).at["api"]
	}},
}

func bareDial(address string, secure *tls.Config) func() (stream, error) {
	return func() (stream, error) {
		if secure != nil {
			return tls.Dial("tcp", address, secure)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		return conn.(stream), nil
	}
}

// bare is a relay that copies and does nothing else.
func bare(b *testing.B, secure *tls.Config, dial func() (stream, error)) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			near := conn.(stream)
			if secure != nil {
				near = tls.Server(conn, secure)
			}
			go func() {
				defer near.Close()
				far, err := dial()
				if err != nil {
					return
				}
				defer far.Close()
				done := make(chan struct{})
				go func() {
					_, _ = io.Copy(far, near)
					_ = far.CloseWrite()
					close(done)
				}()
				_, _ = io.Copy(near, far)
				_ = near.CloseWrite()
				<-done
			}()
		}
	}()
	return l.Addr().String()
}

// processorTime is what this process has used, which is everybody here.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func dialed(b *testing.B, address string) *net.TCPConn {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// BenchmarkThroughput sends much over one connection, there and back; a byte counts once.
func BenchmarkThroughput(b *testing.B) {
	const piece = 1 << 20
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			conn := dialed(b, w.address(b))
			ping(b, conn, make([]byte, 1024))
			b.SetBytes(piece)
			began := processorTime(b)
			b.ResetTimer()
			var work sync.WaitGroup
			work.Go(func() {
				block := make([]byte, piece)
				for range b.N {
					_, _ = conn.Write(block)
				}
			})
			if _, err := io.CopyN(io.Discard, conn, int64(b.N)*piece); err != nil {
				b.Fatal(err)
			}
			work.Wait()
			b.StopTimer()
			b.ReportMetric(float64(processorTime(b)-began)/float64(b.N)/1e3, "cpu-µs/MB")
		})
	}
}

// BenchmarkLatency sends a kilobyte and waits until it is back.
func BenchmarkLatency(b *testing.B) {
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			conn := dialed(b, w.address(b))
			block := make([]byte, 1024)
			ping(b, conn, block)
			times := make([]time.Duration, 0, b.N)
			cpu := processorTime(b)
			b.ResetTimer()
			for range b.N {
				began := time.Now()
				ping(b, conn, block)
				times = append(times, time.Since(began))
			}
			b.StopTimer()
			b.ReportMetric(float64(processorTime(b)-cpu)/float64(b.N)/1e3, "cpu-µs/op")
			slices.Sort(times)
			for name, at := range map[string]float64{"p50-µs": 0.5, "p99-µs": 0.99} {
				b.ReportMetric(float64(times[int(float64(len(times)-1)*at)].Nanoseconds())/1e3, name)
			}
		})
	}
}

func ping(b *testing.B, conn net.Conn, block []byte) {
	if _, err := conn.Write(block); err != nil {
		b.Fatal(err)
	}
	if _, err := io.ReadFull(conn, block); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkConnect opens a connection, sends a byte and has it back, and closes the connection.
func BenchmarkConnect(b *testing.B) {
	for _, w := range ways {
		b.Run(w.name, func(b *testing.B) {
			address := w.address(b)
			ping(b, dialed(b, address), []byte{1})
			cpu := processorTime(b)
			b.ResetTimer()
			for range b.N {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					b.Fatal(err)
				}
				ping(b, conn, []byte{1})
				_ = conn.Close()
			}
			b.StopTimer()
			b.ReportMetric(float64(processorTime(b)-cpu)/float64(b.N)/1e3, "cpu-µs/op")
		})
	}
}
