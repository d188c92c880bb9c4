package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/lictor/lictor/internal/logging"
)

// scrape reads a server's metrics.
func (b *besieged) scrape() map[string]*dto.MetricFamily {
	b.t.Helper()
	text, err := b.files.get("/v1/agent/metrics?format=prometheus")
	if err != nil {
		b.t.Fatal(err)
	}
	return parseMetrics(b.t, string(text))
}

// parseMetrics reads metrics with Prometheus' own parser.
func parseMetrics(t *testing.T, text string) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families
}

// ofACluster returns what three servers and a client agent have together, once the leader has looked
// when it heard from the others.
func ofACluster(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	c := newCluster(t, 3, 1)
	c.startAgents()
	all := map[string]*dto.MetricFamily{}
	err := every(100*time.Millisecond, func(context.Context) error {
		c.read(t, all)
		if all["consul_raft_leader_lastContact"] == nil {
			return errors.New("the leader has not looked yet")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// read adds the metrics of everybody to all.
func (c *cluster) read(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	for _, h := range append(c.agents, c.servers...) {
		for _, path := range []string{"/v1/catalog/nodes", "/v1/agent/metrics?format=prometheus"} {
			status, answer, err := h.ask(t.Context(), http.MethodGet, path, c.management, "")
			if err != nil || status != http.StatusOK {
				t.Fatalf("%s: %d %s: %v", path, status, answer, err)
			}
			if strings.HasPrefix(path, "/v1/agent") {
				maps.Copy(all, parseMetrics(t, answer))
			}
		}
	}
}

// load does a little of everything.
func (b *besieged) load() {
	b.t.Helper()
	good := b.bearer()
	b.honest(clientFrom(honestHost), []string{good})
	forged, err := spoil("forged", logging.Secret(good))
	if err == nil {
		_, err = b.login(clientFrom(honestHost), forged)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	client, err := api.NewClient(&api.Config{Address: b.files.http, Token: b.files.management})
	if err != nil {
		b.t.Fatal(err)
	}
	_, err = client.KV().Put(&api.KVPair{Key: "a", Value: []byte("b")}, nil)
	if err == nil {
		_, _, _, err = client.Txn().Txn(api.TxnOps{{KV: &api.KVTxnOp{Verb: api.KVGet, Key: "a"}}}, nil)
	}
	if err == nil {
		_, err = client.Catalog().Register(&api.CatalogRegistration{Node: "n", Address: "192.0.2.1", Service: &api.AgentService{Service: "s"}}, nil)
	}
	if err == nil {
		_, _, err = client.Health().Service("s", "", false, nil)
	}
	if err == nil {
		_, _, err = client.Session().CreateNoChecks(&api.SessionEntry{Node: "n"}, nil)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := http.Get("http://" + b.files.http + "/v1/kv/a?token=unknown")
	if err != nil {
		b.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

var metricName = regexp.MustCompile(`\bconsul_\w+`)

// expressions returns what the panels and variables of a dashboard ask for.
func expressions(v any) (found []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if text, ok := value.(string); ok && (key == "expr" || key == "query" || key == "definition") {
				found = append(found, text)
			}
			found = append(found, expressions(value)...)
		}
	case []any:
		for _, value := range v {
			found = append(found, expressions(value)...)
		}
	}
	return found
}

// documented returns the names on the page about metrics, but for those that it shortens.
func documented(t *testing.T) (names []string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range metricName.FindAllString(string(page), -1) {
		if !strings.HasSuffix(name, "_") && !strings.HasPrefix(name, "consul_host_") { // which are off
			names = append(names, name)
		}
	}
	return names
}

func TestTheDashboardsMetricsExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard map[string]any
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	b := newBesieged(t)
	b.load()
	families := b.scrape()
	maps.Copy(families, ofACluster(t))
	known := map[string]bool{}
	for name, family := range families {
		known[name] = true
		if family.GetType() == dto.MetricType_SUMMARY {
			known[name+"_sum"], known[name+"_count"] = true, true
		}
	}
	asked := map[string]bool{}
	for _, expr := range expressions(dashboard) {
		for _, name := range metricName.FindAllString(expr, -1) {
			asked[name] = true
		}
	}
	for _, name := range documented(t) {
		asked[name] = true
	}
	if len(asked) < 50 {
		t.Fatalf("only %d metrics are asked for", len(asked))
	}
	for name := range asked {
		if !known[name] {
			t.Errorf("the dashboard or the page names %s, which a server does not have", name)
		}
	}
	if t.Failed() || testing.Verbose() {
		t.Logf("%d metrics asked for; a server has %s", len(asked), strings.Join(slices.Sorted(maps.Keys(families)), " "))
	}
}
