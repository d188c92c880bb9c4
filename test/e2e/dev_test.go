package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// fetchCommand is as much of curl as lictor dev has people paste, for machines that have none: fetch [--cacert FILE] URL.
func fetchCommand() {
	fs := flag.NewFlagSet("fetch", flag.ExitOnError)
	file := fs.String("cacert", "", "CA of the server, PEM")
	_ = fs.Parse(os.Args[1:]) // it exits
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(*file); err == nil {
		roots.AppendCertsFromPEM(pem)
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	resp, err := client.Get(fs.Arg(0))
	if err == nil {
		_, err = io.Copy(os.Stdout, resp.Body)
		_ = resp.Body.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cmdShows waits until a file, to which a command in the background prints, has a text: shows 1m FILE TEXT.
func cmdShows(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	if len(args) != 3 {
		ts.Fatalf("usage: shows TIME FILE TEXT")
	}
	within, err := time.ParseDuration(args[0])
	ts.Check(err)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(within); ; {
		text, err := os.ReadFile(ts.MkAbs(args[1]))
		if err == nil && strings.Contains(string(text), args[2]) {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			ts.Fatalf("after %v %s holds: %s", within, args[1], text)
		}
	}
}

// cmdPaste runs the commands that lictor dev has printed to a file, all in one shell and each of them with success: paste FILE.
func cmdPaste(ts *testscript.TestScript, neg bool, args []string) {
	refuseNegation(ts, neg)
	if len(args) != 1 {
		ts.Fatalf("usage: paste FILE")
	}
	_, pasted, found := strings.Cut(ts.ReadFile(args[0]), "In another terminal, be the operator:")
	if !found {
		ts.Fatalf("%s has no commands to paste", args[0])
	}
	commands := "set -e\ncurl() { fetch \"$@\"; }\n"
	for line := range strings.Lines(pasted) {
		if command, ok := strings.CutPrefix(line, "  "); ok {
			commands += command
		}
	}
	file := filepath.Join(ts.MkAbs("."), "pasted.sh")
	ts.Check(os.WriteFile(file, []byte(commands), 0o600))
	ts.Check(ts.Exec("sh", file))
}
