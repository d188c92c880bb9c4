package httpapi

import (
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/serf/coordinate"
)

// at returns a place whose first number is x.
func at(x float64) *coordinate.Coordinate {
	c := coordinate.NewCoordinate(coordinate.DefaultConfig())
	c.Vec[0] = x
	return c
}

func TestSayWhereANodeIs(t *testing.T) {
	w := newWorld(t, withGossip(cluster()), onServer)
	w.must("PUT", "/v1/catalog/register", `{"Node":"Ext","Address":"192.0.2.1"}`, nil)
	w.must("PUT", "/v1/catalog/register", `{"Node":"srv1","Address":"192.0.2.2"}`, nil)
	c := w.client(management).Coordinate()
	for _, name := range []string{"ext", "nobody", "srv1"} {
		if _, err := c.Update(&api.CoordinateEntry{Node: name, Segment: "", Coord: at(7)}, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	list, meta, err := c.Node("ext", nil)
	check(t, err)
	if len(list) != 1 || list[0].Node != "Ext" || list[0].Coord.Vec[0] != 7 || meta.LastIndex == 0 {
		t.Errorf("%+v %+v", list, meta)
	}
	all, _, err := c.Nodes(nil)
	check(t, err)
	if got := names(all, func(e *api.CoordinateEntry) string { return e.Node }); got != "Ext srv1 srv2 web1" {
		t.Errorf("all: %s", got)
	}
	for _, e := range all {
		if e.Node == "srv1" && e.Coord.Vec[0] == 7 {
			t.Error("what is said of a member counts before what is measured")
		}
	}
	w.must("PUT", "/v1/catalog/deregister", `{"Node":"ext"}`, nil)
	if rec := w.call("GET", "/v1/coordinate/node/ext", "", asManagement); rec.Code != 404 {
		t.Errorf("of a node that is gone: %d %s", rec.Code, rec.Body)
	}
}

func TestWhatIsNoCoordinateIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ name, body, text string }{
		{"too few numbers", `{"Node":"n","Coord":{"Vec":[1,2]}}`, "incompatible coordinate"},
		{"no coordinate", `{"Node":"n"}`, "incompatible coordinate"},
		{"far too many numbers", `{"Node":"n","Coord":{"Vec":[0` + strings.Repeat(",0", 20000) + `]}}`, "incompatible coordinate"},
		{"no node", `{"Coord":{"Vec":[0,0,0,0,0,0,0,0]}}`, "Missing node name"},
		{"a number without bounds", `{"Node":"n","Coord":{"Vec":[1e999,0,0,0,0,0,0,0]}}`, "Request decode failed"},
		{"an unknown key", `{"Node":"n","Bogus":1}`, `Request decode failed: json: unknown field "Bogus"`},
		{"two partitions", `{"Node":"n","Partition":"p","Coord":{"Vec":[0,0,0,0,0,0,0,0]}}`, "Mismatched partition/namespace"},
	} {
		if rec := w.call("PUT", "/v1/coordinate/update?partition=default", c.body, asManagement); rec.Code != 400 || !strings.HasPrefix(rec.Body.String(), c.text) {
			t.Errorf("%s: %d %s", c.name, rec.Code, rec.Body)
		}
	}
}

// What is nearest comes first, wherever the places are known from.
func TestNearANodeThatIsNoMember(t *testing.T) {
	w := newWorld(t)
	for name, x := range map[string]string{"here": "0", "far": "9", "near": "1"} {
		w.must("PUT", "/v1/catalog/register", `{"Node":"`+name+`","Address":"192.0.2.1"}`, nil)
		w.must("PUT", "/v1/coordinate/update", `{"Node":"`+name+`","Coord":{"Vec":[`+x+`,0,0,0,0,0,0,0]}}`, nil)
	}
	var list []struct{ Node string }
	w.must("GET", "/v1/catalog/nodes?near=here", "", &list)
	if len(list) != 3 || list[0].Node != "here" || list[1].Node != "near" || list[2].Node != "far" {
		t.Errorf("%v", list)
	}
}
