package awslocal

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const validMAC = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"

// The signed request that AWS's documentation of Signature Version 4 works
// through: ListUsers of IAM, by AKIDEXAMPLE on 30 August 2015.
func TestSignatureOfAWSDocumentation(t *testing.T) {
	r := httptest.NewRequest("GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", nil)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Date", "20150830T123600Z")
	g, err := parseAuthorization("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=" + validMAC)
	if err != nil {
		t.Fatal(err.message)
	}
	const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	canonical, ok := canonicalRequest(r, g.headers, hexSHA256(nil))
	if got, want := hexSHA256([]byte(canonical)), "f536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59"; !ok || got != want {
		t.Errorf("canonical request %q has hash %s, want %s", canonical, got, want)
	}
	if got, want := hex.EncodeToString(signingKey(secret, g.date, g.region, g.service)), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"; got != want {
		t.Errorf("signing key %s, want %s", got, want)
	}
	if !g.verify(r, nil, secret) {
		t.Error("the signature does not verify")
	}
	if g.verify(r, nil, secret+"x") {
		t.Error("the signature verifies with another secret")
	}
}

// loginVector is a login's two signed requests with their known signatures,
// made independently of this package (authmethods.md §4.4).
var loginVector = struct{ iamBody, iamAuth, iamHeaders, stsBody, stsAuth string }{
	iamBody:    "Action=GetRole&RoleName=ecs-task-web&Version=2010-05-08",
	iamAuth:    "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEKEY000001/20300102/us-east-1/iam/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-consul-iam-serverid, Signature=064234ecf9f58b372a6fb0f44ce3367f7fc00d5f3e519d8e7f9e8c943cd9c315",
	iamHeaders: `{"Authorization":["AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEKEY000001/20300102/us-east-1/iam/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-consul-iam-serverid, Signature=064234ecf9f58b372a6fb0f44ce3367f7fc00d5f3e519d8e7f9e8c943cd9c315"],"Content-Length":["55"],"Content-Type":["application/x-www-form-urlencoded; charset=utf-8"],"X-Amz-Date":["20300102T030405Z"],"X-Consul-Iam-Serverid":["consul.test"]}`,
	stsBody:    "Action=GetCallerIdentity&Version=2011-06-15",
	stsAuth:    "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEKEY000001/20300102/us-west-2/sts/aws4_request, SignedHeaders=content-length;content-type;host;x-amz-date;x-consul-iam-getentity-body;x-consul-iam-getentity-headers;x-consul-iam-getentity-method;x-consul-iam-getentity-url;x-consul-iam-serverid, Signature=d2afced32c08366788abee4ca52db0378399aa415976b85b9fa568cb149ebe8e",
}

func vectorRequest(server, host, body, auth string) *http.Request {
	r, err := http.NewRequest("POST", server, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Host = host
	r.Header.Set("Authorization", auth)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	r.Header.Set("X-Amz-Date", "20300102T030405Z")
	r.Header.Set("X-Consul-Iam-Serverid", "consul.test")
	return r
}

// Both requests of a login verify although they arrive here, because the Host
// header still names the host that was signed.
func TestForwardedLoginVerifies(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	s := start(t, Fixture{Accounts: []Account{{
		ID:    "123456789012",
		Roles: []Role{{Name: "ecs-task-web", ID: "AROAVECTOR000000000A1"}},
		Users: []User{{
			Name: "vector", ID: "AIDAVECTOR000000000A1",
			Permissions: []Permission{{Action: []string{"iam:GetRole"}, Resource: []string{"*"}}},
			AccessKeys:  []AccessKey{{ID: "AKIAEXAMPLEKEY000001", Secret: "exampleSecretKeyForTestVectorsOnly000001"}},
		}},
	}}}, Options{Now: func() time.Time { return at }})

	sts := vectorRequest(s.URL(), "sts.us-west-2.amazonaws.com", loginVector.stsBody, loginVector.stsAuth)
	sts.Header.Set("X-Consul-Iam-Getentity-Body", loginVector.iamBody)
	sts.Header.Set("X-Consul-Iam-Getentity-Headers", loginVector.iamHeaders)
	sts.Header.Set("X-Consul-Iam-Getentity-Method", "POST")
	sts.Header.Set("X-Consul-Iam-Getentity-Url", "https://iam.amazonaws.com/")
	expect(t, send(t, sts), 200, "<Arn>arn:aws:iam::123456789012:user/vector</Arn>")

	iam := vectorRequest(s.URL(), "iam.amazonaws.com", loginVector.iamBody, loginVector.iamAuth)
	expect(t, send(t, iam), 200, "<Arn>arn:aws:iam::123456789012:role/ecs-task-web</Arn>")

	other := vectorRequest(s.URL(), "iam.us-gov.amazonaws.com", loginVector.iamBody, loginVector.iamAuth)
	expect(t, send(t, other), 403, "<Code>SignatureDoesNotMatch</Code>")
}

func TestParseAuthorization(t *testing.T) {
	const credential, headers, mac = "Credential=AKIA/20300102/us-west-2/sts/aws4_request", "SignedHeaders=host;x-amz-date", "Signature=" + validMAC
	tests := []struct {
		name, value string
		ok          bool
	}{
		{"the usual form", algorithm + " " + credential + ", " + headers + ", " + mac, true},
		{"without spaces after the commas", algorithm + " " + credential + "," + headers + "," + mac, true},
		{"in another order", algorithm + " " + mac + ", " + headers + ", " + credential, true},
		{"empty", "", false},
		{"another algorithm", "AWS4-ECDSA-P256-SHA256 " + credential + ", " + headers + ", " + mac, false},
		{"basic authentication", "Basic dTpw", false},
		{"no credential", algorithm + " " + headers + ", " + mac, false},
		{"no signed headers", algorithm + " " + credential + ", " + mac, false},
		{"no signature", algorithm + " " + credential + ", " + headers, false},
		{"a part twice", algorithm + " " + credential + ", " + headers + ", " + mac + ", " + mac, false},
		{"an unknown part", algorithm + " " + credential + ", " + headers + ", " + mac + ", X=1", false},
		{"a part without a value", algorithm + " " + credential + ", " + headers + ", " + mac + ", X", false},
		{"a scope without a region", algorithm + " Credential=AKIA/20300102//sts/aws4_request, " + headers + ", " + mac, false},
		{"a scope with another end", algorithm + " Credential=AKIA/20300102/us-west-2/sts/aws5_request, " + headers + ", " + mac, false},
		{"a scope with six parts", algorithm + " Credential=AKIA/20300102/us-west-2/sts/x/aws4_request, " + headers + ", " + mac, false},
		{"a scope with a long date", algorithm + " Credential=AKIA/20300102T030405Z/us-west-2/sts/aws4_request, " + headers + ", " + mac, false},
		{"a short signature", algorithm + " " + credential + ", " + headers + ", Signature=abcd", false},
		{"an upper-case signature", algorithm + " " + credential + ", " + headers + ", Signature=" + strings.ToUpper(validMAC), false},
		{"headers out of order", algorithm + " " + credential + ", SignedHeaders=x-amz-date;host, " + mac, false},
		{"a header twice", algorithm + " " + credential + ", SignedHeaders=host;host, " + mac, false},
		{"an upper-case header", algorithm + " " + credential + ", SignedHeaders=Host, " + mac, false},
		{"an empty header", algorithm + " " + credential + ", SignedHeaders=;host, " + mac, false},
		{"too long", algorithm + " " + credential + ", SignedHeaders=" + strings.Repeat("a", maxAuthorization) + ", " + mac, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := parseAuthorization(tt.value); (err == nil) != tt.ok {
				t.Errorf("got %+v", err)
			} else if err != nil && err.code != "IncompleteSignature" {
				t.Errorf("got code %s", err.code)
			}
		})
	}
}

func TestCanonicalPath(t *testing.T) {
	tests := []struct{ path, want string }{
		{"", "/"},
		{"/", "/"},
		{"//", "/"},
		{"/a/", "/a/"},
		{"/a/b", "/a/b"},
		{"//example//", "/example/"},
		{"/example/..", "/"},
		{"/./example", "/example"},
		{"/a%20b", "/a%2520b"},
		{"/a%2Fb", "/a%252Fb"},
		{"/~a_b-c.d", "/~a_b-c.d"},
	}
	for _, tt := range tests {
		u, err := url.Parse("http://127.0.0.1" + tt.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := canonicalPath(u); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.path, got, tt.want)
		}
	}
}

func TestCanonicalQuery(t *testing.T) {
	query := url.Values{"b": {"x y"}, "a-b": {"/"}, "a": {"~*"}, "A": {""}}
	if got, want := canonicalQuery(query), "A=&a=~%2A&a-b=%2F&b=x%20y"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHostService(t *testing.T) {
	tests := []struct{ host, want string }{
		{"sts.amazonaws.com", "sts"},
		{"STS.us-west-2.amazonaws.com", "sts"},
		{"sts-fips.us-west-2.amazonaws.com", "sts"},
		{"iam.amazonaws.com", "iam"},
		{"s3.amazonaws.com", ""},
		{"amazonaws.com", ""},
		{"sts.example.com", ""},
		{"sts.xamazonaws.com", ""},
		{"127.0.0.1:8080", ""},
	}
	for _, tt := range tests {
		if got := hostService(tt.host); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.host, got, tt.want)
		}
	}
}

func FuzzParseAuthorization(f *testing.F) {
	f.Add(loginVector.iamAuth)
	f.Add(loginVector.stsAuth)
	f.Add(algorithm + " Credential=A/20300102/r/s/aws4_request,SignedHeaders=host,Signature=" + validMAC)
	f.Add(algorithm + " ,=,=;")
	f.Fuzz(func(t *testing.T, value string) {
		g, err := parseAuthorization(value)
		if err != nil {
			return
		}
		again, err := parseAuthorization(algorithm + " Credential=" + g.accessKey + "/" + g.scope() +
			", SignedHeaders=" + strings.Join(g.headers, ";") + ", Signature=" + hex.EncodeToString(g.mac))
		if err != nil || again.scope() != g.scope() || len(again.headers) != len(g.headers) {
			t.Fatalf("%q reads as %+v, which does not read back: %+v", value, g, err)
		}
	})
}
