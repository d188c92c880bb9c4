package daemon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestAClientAgentFindsItsServersInAWS(t *testing.T) {
	ec2 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		fmt.Fprint(w, `<DescribeInstancesResponse><reservationSet><item><reservationId>r-1</reservationId><instancesSet>
			<item><instanceId>i-1</instanceId><privateIpAddress>127.0.0.1</privateIpAddress></item>
			</instancesSet></item></reservationSet></DescribeInstancesResponse>`)
	}))
	t.Cleanup(ec2.Close)
	for key, value := range map[string]string{"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_PROFILE": ""} {
		t.Setenv(key, value)
	}
	server := testConfig(t)
	start(t, server, nil)
	cfg := testConfig(t)
	cfg.NodeName, cfg.Server, cfg.Bootstrap = "task1", false, false
	cfg.BindAddr, cfg.AdvertiseAddr = "127.0.0.2", "127.0.0.2"
	cfg.Ports.SerfLAN = server.Ports.SerfLAN // the port of addresses without one
	cfg.RetryInterval = 50 * time.Millisecond
	cfg.RetryJoin = []string{"provider=aws region=eu-west-1 tag_key=role tag_value=consul-server " +
		"access_key_id=AKIDEXAMPLE secret_access_key=hunter2 endpoint=" + ec2.URL}
	r := start(t, cfg, nil)
	eventually(t, "the server sees it", func() bool {
		return strings.Contains(must(t, server, http.MethodGet, "/v1/agent/members?filter=Name==task1", ""), `"Status":1`)
	})
	if strings.Contains(r.log.String(), "hunter2") {
		t.Errorf("a secret in the log:\n%s", r.log)
	}
}
