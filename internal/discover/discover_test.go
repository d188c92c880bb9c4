package discover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, entry string
		want        map[string]string
		err         string
	}{
		{"the documents' entry", "provider=aws tag_key=role tag_value=consul-server",
			map[string]string{"provider": "aws", "tag_key": "role", "tag_value": "consul-server"}, ""},
		{"blanks around", "\tprovider=aws \n a=b  ", map[string]string{"provider": "aws", "a": "b"}, ""},
		{"quotes", `provider=aws tag_value="a b" x=""`, map[string]string{"provider": "aws", "tag_value": "a b", "x": ""}, ""},
		{"backslashes", `a=x\ y b="\"\\" c=\"`, map[string]string{"a": "x y", "b": `"\`, "c": `"`}, ""},
		{"no URL encoding", "a=%20+=b", map[string]string{"a": "%20+=b"}, ""},
		{"no value", "a= b=1", map[string]string{"a": "", "b": "1"}, ""},
		{"no equals sign", "provider=aws oops", nil, "an entry is made of key=value, with blanks between"},
		{"a blank before the equals sign", "a =b", nil, "an entry is made of key=value, with blanks between"},
		{"no key", "=x", nil, "an entry is made of key=value, with blanks between"},
		{"a key twice", "a=1 a=2", nil, "a is given twice"},
		{"no closing quote", `secret_access_key="hunter2`, nil, "secret_access_key: the closing quote is missing"},
		{"text after the quote", `a="b"c`, nil, "a: a blank has to follow the closing quote"},
		{"a quote inside", `a=b"c`, nil, "a: a quote inside a value needs a backslash"},
		{"a backslash at the end", `a=b\`, nil, "a: nothing follows the backslash"},
		{"too long", "a=" + strings.Repeat("x", maxEntry), nil, "an entry of more than 4096 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.entry)
			if tc.err != "" && (err == nil || err.Error() != tc.err) || tc.err == "" && err != nil || !maps.Equal(got, tc.want) {
				t.Errorf("got %q, %v; want %q, %s", got, err, tc.want, tc.err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"provider=aws tag_key=role tag_value=x", `a="b \" c" d=\`, "=", `a=""`, "a=b\nc=d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		settings, err := parse(entry)
		if err != nil {
			return
		}
		var again []string
		for key, value := range settings {
			again = append(again, key+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value)+`"`)
		}
		text := strings.Join(again, " ")
		if got, err := parse(text); len(text) <= maxEntry && (err != nil || !maps.Equal(got, settings)) {
			t.Errorf("%q gives %q, and that %q, %v", entry, settings, got, err)
		}
	})
}

func TestWrongEntries(t *testing.T) {
	const aws = "provider=aws tag_key=role tag_value=x "
	for _, tc := range []struct{ name, entry, want string }{
		{"another provider", "provider=gce project_name=p", "discover: unknown provider gce: this release has aws"},
		{"no tag", "provider=aws tag_key=role", "discover-aws: tag_key and tag_value have to be given"},
		{"an unknown key", aws + "tags=x", "discover-aws: unknown key tags"},
		{"an unknown service", aws + "service=eks", `discover-aws: service must be one of ec2, ecs, not "eks"`},
		{"an unknown kind of address", aws + "addr_type=v4", `discover-aws: addr_type must be one of private_v4, public_v4, public_v6, not "v4"`},
		{"public addresses of ECS", aws + "service=ecs addr_type=public_v4", "discover-aws: addr_type must be private_v4 with service=ecs"},
		{"half a key pair", aws + "secret_access_key=hunter2", "discover-aws: access_key_id and secret_access_key must both be given, or neither"},
		{"no entry", "provider", "discover: an entry is made of key=value, with blanks between"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := Finder{Log: slog.New(slog.DiscardHandler)}
			if _, err := f.Addrs(t.Context(), tc.entry); err == nil || err.Error() != tc.want {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

// cloud answers as EC2 and ECS do.
type cloud struct {
	mu   sync.Mutex
	seen []string // the operations asked for, and the parameters that matter
	hang chan struct{}
}

func (c *cloud) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, fmt.Sprintf(format, args...))
}

func (c *cloud) asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.seen)
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		c.ecs(w, target[strings.LastIndexByte(target, '.')+1:], string(body))
		return
	}
	form, _ := url.ParseQuery(string(body))
	c.note("%s %s=%s", form.Get("Action"), form.Get("Filter.1.Name"), form.Get("Filter.1.Value.1"))
	if c.hang != nil {
		<-c.hang
	}
	w.Header().Set("Content-Type", "text/xml")
	switch form.Get("Filter.1.Value.1") {
	case "refused":
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>not you</Message></Error></Errors><RequestID>1</RequestID></Response>`)
	case "broken":
		fmt.Fprint(w, `<DescribeInstancesResponse><reservationSet><item><instancesSet><item/></instancesSet></item></reservationSet></DescribeInstancesResponse>`)
	default:
		fmt.Fprint(w, `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet>
			<item><reservationId>r-1</reservationId><instancesSet>
				<item><instanceId>i-1</instanceId><privateIpAddress>10.0.0.11</privateIpAddress><ipAddress>192.0.2.11</ipAddress></item>
				<item><instanceId>i-2</instanceId><privateIpAddress>10.0.0.12</privateIpAddress></item>
			</instancesSet></item></reservationSet></DescribeInstancesResponse>`)
	}
}

func (c *cloud) ecs(w http.ResponseWriter, operation, body string) {
	c.note("%s %s", operation, body)
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	const task = "arn:aws:ecs:eu-west-1:000000000000:task/c/1"
	switch operation {
	case "ListClusters":
		fmt.Fprint(w, `{"clusterArns":["arn:aws:ecs:eu-west-1:000000000000:cluster/c"]}`)
	case "ListTasks":
		fmt.Fprintf(w, `{"taskArns":[%q]}`, task)
	case "DescribeTasks":
		fmt.Fprintf(w, `{"failures":[],"tasks":[{"taskArn":%q,"desiredStatus":"RUNNING","tags":[{"key":"role","value":"consul-server"}],
			"attachments":[{"type":"ElasticNetworkInterface","details":[{"name":"subnetId","value":"subnet-1"},{"name":"privateIPv4Address","value":"10.0.0.21"}]}]}]}`, task)
	}
}

func open(t *testing.T, c *cloud) (*Finder, *bytes.Buffer, string) {
	t.Helper()
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	for key, value := range map[string]string{
		"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_PROFILE": "", "HOME": t.TempDir(),
	} {
		t.Setenv(key, value)
	}
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &Finder{Log: log}, &text,
		"provider=aws region=eu-west-1 access_key_id=AKIDEXAMPLE secret_access_key=hunter2 endpoint=" + srv.URL + " tag_key=role tag_value="
}

func TestServersAreFound(t *testing.T) {
	for _, tc := range []struct {
		name, entry string
		want, asked []string
	}{
		{"EC2, private addresses", "consul-server", []string{"10.0.0.11", "10.0.0.12"}, []string{"DescribeInstances tag:role=consul-server"}},
		{"EC2, public addresses", "consul-server addr_type=public_v4", []string{"192.0.2.11"}, []string{"DescribeInstances tag:role=consul-server"}},
		{"ECS", "consul-server service=ecs", []string{"10.0.0.21"}, []string{"ListClusters", "ListTasks", "DescribeTasks"}},
		{"ECS, one cluster and family", "consul-server service=ecs ecs_cluster=c ecs_family=servers", []string{"10.0.0.21"}, []string{"ListTasks", "DescribeTasks"}},
		{"ECS, another tag", "other service=ecs ecs_cluster=c", nil, []string{"ListTasks", "DescribeTasks"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := &cloud{}
			f, log, entry := open(t, c)
			got, err := f.Addrs(t.Context(), entry+tc.entry)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
			asked := c.asked()
			if !slices.EqualFunc(asked, tc.asked, strings.HasPrefix) {
				t.Errorf("asked %q, want %q", asked, tc.asked)
			}
			if strings.Contains(tc.entry, "ecs_family") && !strings.Contains(asked[0], `"family":"servers"`) {
				t.Errorf("asked %q", asked)
			}
			if strings.Contains(log.String(), "hunter2") {
				t.Errorf("a secret in the log:\n%s", log)
			}
		})
	}
}

func TestAnswersThatHelpNobody(t *testing.T) {
	for _, tc := range []struct{ name, tag, want string }{
		{"a refusal", "refused", "UnauthorizedOperation"},
		{"an answer without what it must have", "broken", "discover-aws: an answer that cannot be read"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, _, entry := open(t, &cloud{})
			if _, err := f.Addrs(t.Context(), entry+tc.tag); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
}

func TestAQuestionThatHangsIsAskedOnce(t *testing.T) {
	c := &cloud{hang: make(chan struct{})}
	f, _, entry := open(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Addrs(ctx, entry+"x"); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first: %v", err)
	}
	second := make(chan error, 1)
	go func() {
		_, err := f.Addrs(t.Context(), entry+"x")
		second <- err
	}()
	close(c.hang)
	if err := <-second; err != nil {
		t.Errorf("the second: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.lookups) > 0 {
		t.Errorf("kept: %v", f.lookups)
	}
}
