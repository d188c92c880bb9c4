package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// conn is a connection of a client that costs next to nothing, so that it does not take
// the processors from the server.
type conn struct {
	net.Conn
	in *bufio.Reader
}

const connBuffer = 2048

func dial(addr string) (*conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReaderSize(c, connBuffer)}, nil
}

// request is the text of a request with the management token.
func request(method, path, body string) []byte {
	return fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: bench\r\nX-Consul-Token: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, management, len(body), body)
}

// do sends a request and returns the index of its answer, which it reads and forgets.
func (c *conn) do(method, path, body string) (index string, err error) {
	return c.send(request(method, path, body))
}

func (c *conn) send(request []byte) (index string, err error) {
	if _, err := c.Write(request); err != nil {
		return "", err
	}
	return c.answer()
}

// answer reads an answer, which has to be a 200 with a length or in chunks.
func (c *conn) answer() (index string, err error) {
	status, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		switch name {
		case "Content-Length":
			if length, err = strconv.Atoi(value); err != nil {
				return "", err
			}
		case "X-Consul-Index":
			index = value
		}
	}
	if length >= 0 {
		_, err = c.in.Discard(length)
	} else {
		err = c.discardChunks()
	}
	if err == nil && !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		err = fmt.Errorf("the answer is %q", strings.TrimSpace(status))
	}
	return index, err
}

func (c *conn) discardChunks() error {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, c.in, size+2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}
