package httpapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lictor/lictor/internal/acl"
	"github.com/lictor/lictor/internal/fsm"
	"github.com/lictor/lictor/internal/logging"
	"github.com/lictor/lictor/internal/tenancy"
)

// A filter told, by whether it matched, what its sender could not read.
func TestAttack_21950_FiltersAreNoOracle(t *testing.T) {
	w := newWorld(t)
	w.withLogins()
	stranger := "X-Consul-Token: " + w.token("stranger", `acl = "deny"`)
	for _, row := range routes {
		if row.method != http.MethodGet || !strings.HasPrefix(row.path, "/v1/acl/") {
			continue
		}
		var answers []string
		for _, filter := range []string{"", `AccessorID == "` + managementAccessor + `"`, `AccessorID == "x"`, `Name matches ".*"`, "(((", `"x" in Policies`} {
			rec := w.call(row.method, parts.Replace(row.path)+"?filter="+strings.ReplaceAll(strings.ReplaceAll(filter, " ", "%20"), `"`, "%22"), "", stranger)
			answers = append(answers, fmt.Sprint(rec.Code, rec.Body))
		}
		for _, a := range answers[1:] {
			if a != answers[0] {
				t.Errorf("%s: %s and %s", row.path, answers[0], a)
			}
		}
	}
}

// A token worked beyond its life: an expired one is unknown to every route.
func TestCVE_2020_25816_AnExpiredTokenIsUnknownToEveryRoute(t *testing.T) {
	w := newWorld(t)
	end := time.Now().Add(-time.Nanosecond)
	expired := acl.Token{AccessorID: "eeeeeeee-0000-4000-8000-000000000000", SecretID: "eeeeeeee-0000-4000-8000-000000000001", Scope: tenancy.Default,
		CreateTime: end.Add(-time.Hour), ExpirationTime: &end, Policies: []acl.Link{{ID: acl.GlobalManagementID}}}
	if _, err := w.raft.Propose(context.Background(), fsm.TokenSet{Token: expired, Create: true}); err != nil {
		t.Fatal(err)
	}
	for _, row := range routes {
		if !row.needsToken() {
			continue
		}
		rec := w.call(row.method, parts.Replace(row.path), "{}", "X-Consul-Token: "+expired.SecretID.Reveal())
		if rec.Code != http.StatusForbidden || !strings.HasSuffix(rec.Body.String(), "ACL not found") {
			t.Errorf("%s %s: %d %s", row.method, row.path, rec.Code, rec.Body)
		}
	}
	if rec := w.call("GET", "/v1/acl/token/self", "", "X-Consul-Token: "+expired.SecretID.Reveal()); rec.Code != http.StatusForbidden {
		t.Errorf("self: %d %s", rec.Code, rec.Body)
	}
}

// Odd spellings of a path reached a route past what looked at its usual one.
func TestCVE_2021_28156_OddPathsReachNoRoute(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{
		"//v1/acl/tokens", "/v1//acl/tokens", "/v1/./acl/tokens", "/v1/../v1/acl/tokens", "/x/../v1/acl/tokens", "/v1/acl/tokens/", "/v1/acl/tokens/.", "/v1/acl/policy/../tokens",
		"/v1%2facl/tokens", "/v1/acl%2Ftokens", "/v1/acl/%74okens%00", "/v1/acl/tokens%20", "/V1/acl/tokens", "/v1/ACL/tokens", "/v1/acl/Tokens", "/v1/acl/tokens;x", "/v1/acl/tokens%3Fx",
		"/v1/acl/%2e%2e/acl/tokens", "/v1\\acl\\tokens", "/v1/acl/tokens#", "http://127.0.0.1/v1//acl/tokens", "/v1/acl/token/%2e%2e/tokens",
	} {
		req := httptest.NewRequest("GET", "/", nil)
		u := req.URL
		if parsed, err := u.Parse(path); err == nil {
			req.URL, req.RequestURI = parsed, path
		}
		for _, token := range []string{"", management} {
			req.Header.Set("X-Consul-Token", token)
			rec := httptest.NewRecorder()
			w.http.ServeHTTP(rec, req)
			reached := rec.Code == http.StatusOK && strings.Contains(rec.Body.String(), managementAccessor)
			if reached && req.URL.EscapedPath() != "/v1/acl/tokens" || rec.Code == http.StatusOK && token == "" {
				t.Errorf("%s: %d %.80s", path, rec.Code, rec.Body)
			}
			if to := rec.Header().Get("Location"); to != "" && !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
				t.Errorf("%s leads to %s", path, to)
			}
		}
	}
}

// Answers were shown as pages of the API's own origin.
func TestCVE_2020_25864_AnswersAreNoPages(t *testing.T) {
	w := newWorld(t)
	const script = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
	for _, row := range routes {
		target := strings.NewReplacer("{policy_name...}", script, "{template_name...}", script, "{auth_method}", script, "{namespace}", script, "{kind}", script).Replace(row.path)
		for _, as := range []string{"", management} {
			rec := w.call(row.method, parts.Replace(target)+"?dc=dc1&pretty", `{"Name":"<script>"}`, "X-Consul-Token: "+as, "Accept: text/html")
			kind, _, _ := strings.Cut(rec.Header().Get("Content-Type"), ";")
			if rec.Header().Get("X-Content-Type-Options") != "nosniff" || kind == "text/html" || strings.Contains(kind, "xml") || strings.Contains(kind, "script") {
				t.Errorf("%s %s: %v", row.method, row.path, rec.Header())
			}
			if kind == "application/json" && strings.Contains(rec.Body.String(), "<script") {
				t.Errorf("%s %s: %s", row.method, row.path, rec.Body)
			}
		}
	}
}

// Any web page could use the API of an agent on its visitor's machine.
func TestCVE_2026_45021_NoOtherOriginIsLetIn(t *testing.T) {
	w := newWorld(t)
	for _, method := range []string{"OPTIONS", "GET", "PUT"} {
		rec := w.call(method, "/v1/acl/tokens", "", "Origin: https://evil.example", "Access-Control-Request-Method: GET", asManagement)
		for name := range rec.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", method, name)
			}
		}
	}
	if rec := w.call("GET", "/v1/acl/tokens", "", "Origin: https://evil.example"); rec.Code != http.StatusForbidden {
		t.Errorf("a request from here is let in as such: %d", rec.Code)
	}
}

// Headers that a proxy or another agent would set named a caller.
func TestCVE_2025_49825_NoHeaderButTheTokenNamesTheCaller(t *testing.T) {
	w := newWorld(t)
	for _, header := range []string{
		"X-Forwarded-For: 127.0.0.1", "X-Forwarded-User: root", "X-Real-Ip: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Remote-User: root", "X-Lictor-Hops: 1", "X-Lictor-Not-Applied: true",
		"X-Lictor-Caller: 127.0.0.1", "X-Vault-Token: " + management, "Cookie: token=" + management, "Authorization: Basic " + management, "X-Consul-Token-Id: " + management, "X-Consul-Namespace: default",
	} {
		if rec := w.call("GET", "/v1/acl/tokens", "", header); rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", header, rec.Code, rec.Body)
		}
		if rec := w.call("POST", "/internal/acl/resolve", `{"Secret":""}`, header); rec.Code != http.StatusNotFound {
			t.Errorf("%s, an internal route: %d %s", header, rec.Code, rec.Body)
		}
	}
}

// Deep or costly JSON was read before anybody had proven anything.
func TestCVE_2025_59043_JSONBeforeALoginIsBounded(t *testing.T) {
	w := newWorld(t)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 8<<20))
	_ = z.Close()
	many := func(element string, n int) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	for name, body := range map[string]string{
		"objects in objects":        strings.Repeat(`{"Meta":`, 10_000),
		"lists in lists":            `{"Meta":` + strings.Repeat("[", 100_000),
		"a list of a million":       `{"Meta":[` + many("1", 1_000_000) + `]}`,
		"many keys":                 `{"Meta":{` + many(`"k":"v"`, 10_000) + `}}`,
		"keys that are alike":       `{"AuthMethod":"a","authmethod":"b"}`,
		"a number of many digits":   `{"AuthMethod":` + strings.Repeat("9", 100_000) + `}`,
		"a number beyond all":       `{"AuthMethod":1e999999999}`,
		"a long string":             `{"AuthMethod":"` + strings.Repeat("a", 1<<20) + `"}`,
		"escapes":                   `{"BearerToken":"` + strings.Repeat(`\u0061`, 30_000) + `"}`,
		"half a surrogate":          `{"AuthMethod":"\ud800"}`,
		"a zipped body":             zipped.String(),
		"bytes that are no text":    "{\"AuthMethod\":\"\xff\xfe\"}",
		"much space":                strings.Repeat(" ", 1<<20) + "{}",
		"two values":                `{}{}`,
		"an identity for a dry run": `{"Identity":{` + many(`"a":"b"`, 5_000) + `}}`,
	} {
		for _, path := range []string{"/v1/acl/login", "/v1/acl/login/explain", "/v1/acl/explain", "/v1/acl/bootstrap"} {
			began := time.Now()
			rec := w.call("POST", path, body, "Content-Encoding: gzip")
			if rec.Code == http.StatusOK || rec.Code >= 500 {
				t.Errorf("%s to %s: %d %.100s", name, path, rec.Code, rec.Body)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("%s to %s takes %v", name, path, took)
			}
			if rec.Body.Len() > 4096 {
				t.Errorf("%s to %s: an answer of %d bytes", name, path, rec.Body.Len())
			}
		}
	}
}

// Tokens of workloads were found in logs: what comes in as a secret comes out nowhere.
func TestCVE_2025_1296_NoSecretIsLoggedOrAnswered(t *testing.T) {
	w := newWorld(t)
	w.withLogins()
	const canary = "cafebabe-0000-4000-8000-00000000cafe"
	for _, c := range []struct{ method, target, body, header string }{
		{"POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"` + canary + `"}`, ""},
		{"POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":"web:` + canary + `"}`, ""},
		{"POST", "/v1/acl/login", `{"AuthMethod":"ecs","BearerToken":{"x":"` + canary + `"}}`, ""},
		{"POST", "/v1/acl/login/explain", `{"AuthMethod":"ecs","BearerToken":"` + canary + `"}`, asManagement},
		{"GET", "/v1/acl/token/self?token=" + canary, "", ""},
		{"GET", "/v1/acl/tokens", "", "X-Consul-Token: " + canary},
		{"GET", "/v1/acl/tokens", "", "Authorization: Bearer " + canary},
		{"POST", "/v1/acl/token/renew", "", "X-Consul-Token: " + canary},
		{"POST", "/v1/acl/logout", "", "X-Consul-Token: " + canary},
		{"PUT", "/v1/acl/token", `{"SecretID":"` + canary + `","AccessorID":"x"}`, asManagement},
		{"PUT", "/v1/acl/token", `{"SecretID":["` + canary + `"]}`, asManagement},
		{"PUT", "/v1/acl/bootstrap", `{"BootstrapSecret":"` + canary + `"}`, ""},
		{"PUT", "/v1/agent/token/nosuch", `{"Token":"` + canary + `"}`, asManagement},
		{"PUT", "/v1/agent/token/default", `{"Token":"` + canary + `","x":1}`, asManagement},
	} {
		headers := []string{"X-Ignored: 1"}
		if c.header != "" {
			headers = append(headers, c.header)
		}
		rec := w.call(c.method, c.target, c.body, headers...)
		if rec.Code == http.StatusOK && c.target != "/v1/acl/login/explain" {
			t.Errorf("%s %s succeeds", c.method, c.target)
		}
		id := rec.Header().Get(loginIDHeader)
		if id != "" {
			refused := w.call("GET", "/v1/acl/login/"+id, "", asManagement)
			if refused.Code != http.StatusOK || strings.Contains(refused.Body.String(), canary) {
				t.Errorf("what is kept of a refused login: %d %s", refused.Code, refused.Body)
			}
		}
		if strings.Contains(rec.Body.String(), canary) || strings.Contains(fmt.Sprint(rec.Header()), canary) {
			t.Errorf("%s %s answers %s", c.method, c.target, rec.Body)
		}
	}
	w.raft.down = true // what cannot be stored is logged as an error
	w.call("PUT", "/v1/acl/token?token="+management, `{"SecretID":"`+canary+`"}`)
	w.call("POST", "/v1/acl/login?token="+canary, `{"AuthMethod":"ecs","BearerToken":"web:open sesame"}`)
	for _, secret := range []string{canary, management, "sesame"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("%q is in the log: %s", secret, w.log)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s %q", logging.Secret(canary), struct{ S logging.Secret }{canary}, []logging.Secret{canary}, logging.Secret(canary), logging.Secret(canary)); strings.Contains(text, canary) {
		t.Errorf("a secret prints as %s", text)
	}
}

// Lists and the pages made of them had in them what their caller could not read.
func TestCVE_2022_3920_NoAnswerNamesWhatItsCallerMayNotRead(t *testing.T) {
	told := 0
	for row, e := range expected(t) {
		if row.method != http.MethodGet || !row.needsDecision() {
			continue
		}
		c := newCrowd(t, rulesFor(*row, e))
		var hidden []string
		for _, name := range []string{c.objects.Replace("<token>"), c.objects.Replace("<policy>"), c.objects.Replace("<role>"), c.objects.Replace("<rule>"), managementAccessor, "web1", "srv1"} {
			if !strings.Contains(c.path.Replace(row.path), name) {
				hidden = append(hidden, name)
			}
		}
		for who := range numCallers {
			got := c.ask(c.http, *row, e, who, "partition=default&ns=default")
			for _, name := range hidden {
				switch {
				case !strings.Contains(got, name):
				case who == right:
					told++
				default:
					t.Errorf("%s with %s names %s: %s", row.path, callerNames[who], name, got)
				}
			}
		}
	}
	if told < 10 {
		t.Errorf("those who may read were told of %d things", told)
	}
}

// Text of a request came back without a type, so that a browser took it for a page. Here
// whatever has a body says what it is, on a real connection, and what repeats a request is plain text.
func TestCVE_2024_10086_NoBrowserGuessesWhatAnAnswerIs(t *testing.T) {
	w := newWorld(t, func(a *API) { a.Config.BlockEndpoints = []string{"/v1/<blocked"} })
	w.withLogins()
	server := httptest.NewServer(w.http)
	defer server.Close()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	const script = "%3Cscript%3Ealert(1)%3C%2Fscript%3E"
	targets := []string{"/" + script, "/v1/" + script, "/v1/acl/" + script, "/ui/", "/ui/" + script, "//" + script + "/..", "/v1/%3Cblocked", "/"}
	for _, row := range routes {
		path := row.path
		for open := strings.IndexByte(path, '{'); open >= 0; open = strings.IndexByte(path, '{') {
			path = path[:open] + script + path[strings.IndexByte(path, '}')+1:]
		}
		targets = append(targets, path)
	}
	repeated := 0
	for _, target := range targets {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "SCRIPT"} {
			for _, query := range []string{"", "?ns=" + script, "?dc=" + script, "?index=" + script, "?wait=" + script, "?filter=" + script, "?partition=" + script, "?token=" + script} {
				if method != "GET" && query != "" || strings.HasSuffix(target, "/internal/acl/changes") {
					continue
				}
				req, err := http.NewRequestWithContext(t.Context(), method, server.URL+target+query, strings.NewReader(`{"<script>alert(1)</script>":1}`))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Accept", "text/html")
				req.Header.Set("X-Consul-Token", management)
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil {
					t.Fatal(err)
				}
				kind := resp.Header.Get("Content-Type")
				known := slices.Contains([]string{"application/json", "text/plain; charset=utf-8", "application/x-gzip", "application/pem-certificate-chain"}, kind)
				if len(body) > 0 && !known || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%s %s%s: %v", method, target, query, resp.Header)
				}
				if bytes.Contains(body, []byte("<script")) {
					repeated++
					if kind != "text/plain; charset=utf-8" {
						t.Errorf("%s %s%s repeats what it was sent as %s", method, target, query, kind)
					}
				}
			}
		}
	}
	if repeated == 0 {
		t.Error("no answer repeats anything")
	}
}

// drain is a body without end that counts what is read of it.
type drain struct {
	begin io.Reader
	read  int
}

func (d *drain) Read(p []byte) (int, error) {
	n, err := d.begin.Read(p)
	if err != nil {
		for n = range p {
			p[n] = ' '
		}
		n, err = len(p), nil
	}
	d.read += n
	return n, err
}

// Bodies were read, and made into values, before anything was known of who sent them. Here
// nothing is read of a body whose token is unknown, of all others no more than their bound,
// and what is made of one costs a few times its size.
func TestCVE_2025_12044_WhatABodyCostsBeforeItsSenderIsKnown(t *testing.T) {
	w := newWorld(t)
	send := func(row route, begin, token string) (read int, allocated uint64) {
		body := &drain{begin: strings.NewReader(begin)}
		req := httptest.NewRequest(row.method, parts.Replace(row.path), body)
		req.Header.Set("X-Consul-Token", token)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w.http.ServeHTTP(httptest.NewRecorder(), req)
		runtime.ReadMemStats(&after)
		return body.read, after.TotalAlloc - before.TotalAlloc
	}
	costly := []string{
		"{" + strings.Repeat(`"k":"v",`, 8000), `{"Meta":{` + strings.Repeat(`"k":"v",`, 16000), `{"Meta":[` + strings.Repeat("1,", 30000), "[" + strings.Repeat("{},", 20000),
		strings.Repeat(`{"a":`, 10000), `{"Meta":"` + strings.Repeat(`\u00e9`, 10000), `{"Meta":` + strings.Repeat("9", 60000),
	}
	for _, row := range routes {
		if row.method == http.MethodGet || row.options&longBody != 0 {
			continue
		}
		for _, begin := range costly {
			if read, _ := send(row, begin, "aaaaaaaa-0000-4000-8000-00000000dead"); read > 0 && row.needsToken() {
				t.Errorf("%s %s reads %d bytes for an unknown token", row.method, row.path, read)
			}
			read, allocated := send(row, begin, "")
			if most := int(row.maxBody()); read > most+bytes.MinRead {
				t.Errorf("%s %s reads %d bytes, more than %d", row.method, row.path, read, most)
			}
			if most := uint64(32 * row.maxBody()); allocated > most {
				t.Errorf("%s %s makes %d bytes of a body, more than %d", row.method, row.path, allocated, most)
			}
		}
	}
}
