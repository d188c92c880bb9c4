package grpcapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/lictor/lictor/internal/errs"
	"github.com/lictor/lictor/internal/xds"
)

// have makes resources from "C a=1 E b=2": type, name and version.
func have(text string) xds.Resources {
	short := map[string]xds.Type{"C": xds.Cluster, "E": xds.Endpoint, "L": xds.Listener, "R": xds.Route}
	out := xds.Resources{}
	for _, t := range xds.Types() {
		out[t] = map[string]xds.Resource{}
	}
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		name, version, _ := strings.Cut(words[i+1], "=")
		out[short[words[i]]][name] = xds.Resource{Name: name, Version: version}
	}
	return out
}

// told shows responses as "C+a=1 -b".
func told(all []*discovery.DeltaDiscoveryResponse) string {
	var out []string
	for _, r := range all {
		kind := r.TypeUrl[strings.LastIndexByte(r.TypeUrl, '.')+1:][:1]
		switch {
		case strings.HasSuffix(r.TypeUrl, "ClusterLoadAssignment"):
			kind = "E"
		case len(r.Resources) == 0 && len(r.RemovedResources) == 0:
			kind += " nothing"
		}
		for _, x := range r.Resources {
			kind += " " + x.Name + "=" + x.Version
		}
		for _, name := range r.RemovedResources {
			kind += " -" + name
		}
		out = append(out, kind)
	}
	return strings.Join(out, ", ")
}

func ask(t xds.Type, subscribe ...string) *discovery.DeltaDiscoveryRequest {
	return &discovery.DeltaDiscoveryRequest{TypeUrl: string(t), ResourceNamesSubscribe: subscribe}
}

func forget(t xds.Type, names ...string) *discovery.DeltaDiscoveryRequest {
	return &discovery.DeltaDiscoveryRequest{TypeUrl: string(t), ResourceNamesUnsubscribe: names}
}

func TestDeltaTellsWhatAProxyDoesNotHave(t *testing.T) {
	reconnect := ask(xds.Cluster)
	reconnect.InitialResourceVersions = map[string]string{"a": "1", "old": "1"}
	named := ask(xds.Endpoint, "a", "b")
	named.InitialResourceVersions = map[string]string{"a": "1"}
	for _, c := range []struct {
		name  string
		steps []any // resources that there are now, or a request
		want  []string
	}{
		{name: "nothing before there are resources", steps: []any{ask(xds.Cluster), ask(xds.Listener)}, want: []string{"", ""}},
		{name: "clusters and listeners come without being named", steps: []any{ask(xds.Cluster), ask(xds.Listener), "C a=1 L l=1 E a=1"}, want: []string{"", "", "C a=1, L l=1"}},
		{name: "endpoints have to be named", steps: []any{"E a=1 E b=1", ask(xds.Endpoint), ask(xds.Endpoint, "a")}, want: []string{"", "", "E a=1"}},
		{name: "only what changes comes again", steps: []any{ask(xds.Cluster), "C a=1 C b=1", "C a=2 C b=1", "C a=2 C b=1"}, want: []string{"", "C a=1 b=1", "C a=2", ""}},
		{name: "what is gone is said", steps: []any{ask(xds.Cluster), "C a=1 C b=1", "C a=1"}, want: []string{"", "C a=1 b=1", "C -b"}},
		{name: "what is asked for and is not there is said once", steps: []any{"C a=1", ask(xds.Endpoint, "x"), "C a=1", "E x=1"}, want: []string{"", "E -x", "", "E x=1"}},
		{name: "what is asked for again comes again", steps: []any{"E a=1", ask(xds.Endpoint, "a"), ask(xds.Endpoint, "a")}, want: []string{"", "E a=1", "E a=1"}},
		{name: "an acknowledgement gets no answer", steps: []any{"C a=1", ask(xds.Cluster), ask(xds.Cluster)}, want: []string{"", "C a=1", ""}},
		{name: "nobody hears of what they have unsubscribed", steps: []any{"E a=1 E b=1", ask(xds.Endpoint, "a", "b"), forget(xds.Endpoint, "a"), "E a=2 E b=2", "E b=2"}, want: []string{"", "E a=1 b=1", "", "E b=2", ""}},
		{name: "a wildcard can be given up", steps: []any{"C a=1 C b=1", ask(xds.Cluster, "*", "a"), forget(xds.Cluster, "*"), "C a=2 C b=2"}, want: []string{"", "C a=1 b=1", "", "C a=2"}},
		{name: "a reconnected proxy is told what it lacks", steps: []any{reconnect, "C a=1 C b=1"}, want: []string{"", "C b=1, C -old"}},
		{name: "and what it lacks of what it names", steps: []any{named, "E a=1 E b=1"}, want: []string{"", "E b=1"}},
		{name: "there being nothing is an answer", steps: []any{ask(xds.Cluster), ask(xds.Listener), "E a=1"}, want: []string{"", "", "C nothing, L nothing"}},
		{name: "new clusters come first and old ones go last", steps: []any{ask(xds.Cluster), ask(xds.Listener), ask(xds.Endpoint, "a"), "C a=1 L l=1 E a=1", ask(xds.Endpoint, "b"), "C b=1 L l=2 E b=1"},
			want: []string{"", "", "", "C a=1, E a=1, L l=1", "E -b", "C b=1, E b=1, L l=2, C -a, E -a"}},
		{name: "a cluster that changes is followed by its endpoints", steps: []any{ask(xds.Cluster), ask(xds.Endpoint, "a"), "C a=1 E a=1", "C a=2 E a=1"}, want: []string{"", "", "C a=1, E a=1", "C a=2, E a=1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &delta{}
			var got []string
			for _, step := range c.steps {
				switch step := step.(type) {
				case string:
					d.resources = have(step)
				case *discovery.DeltaDiscoveryRequest:
					if err := d.request(xds.Type(step.TypeUrl), step); err != nil {
						t.Fatal(err)
					}
				}
				got = append(got, told(d.responses()))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("told\n%q, want\n%q", got, c.want)
			}
		})
	}
}

func TestNoncesCount(t *testing.T) {
	d := &delta{resources: have("C a=1 L l=1")}
	for _, kind := range []xds.Type{xds.Cluster, xds.Listener} {
		if err := d.request(kind, ask(kind)); err != nil {
			t.Fatal(err)
		}
	}
	all := d.responses()
	if len(all) != 2 || all[0].Nonce != "00000001" || all[1].Nonce != "00000002" {
		t.Errorf("responses %v", all)
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	d := &delta{}
	var err error
	for i := 0; i < 2*maxNames && err == nil; i += 1024 {
		r := ask(xds.Type([]xds.Type{xds.Endpoint, xds.Route}[i/1024%2]))
		for j := range 1024 {
			r.ResourceNamesSubscribe = append(r.ResourceNamesSubscribe, fmt.Sprint("name ", i+j))
		}
		err = d.request(xds.Type(r.TypeUrl), r)
	}
	if errs.KindOf(err) != errs.Throttled {
		t.Errorf("error %v", err)
	}
	d = &delta{}
	r := ask(xds.Cluster)
	r.InitialResourceVersions = map[string]string{}
	for i := range maxNames + 1 {
		r.InitialResourceVersions[fmt.Sprint(i)] = "1"
	}
	if err := d.request(xds.Cluster, r); errs.KindOf(err) != errs.Throttled {
		t.Errorf("initial versions: error %v", err)
	}
}

// FuzzRequests checks that no sequence of requests makes anything but an error or answers that are in step with
// what there is.
func FuzzRequests(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3}, "a")
	f.Add([]byte{9, 8, 7, 250, 3}, "*")
	f.Fuzz(func(t *testing.T, script []byte, name string) {
		d := &delta{}
		names := []string{name, "a", "b", "*", ""}
		for i, step := range script[:min(len(script), 256)] {
			kind := xds.Types()[int(step)%4]
			which := names[int(step/4)%5]
			switch step / 20 % 4 {
			case 0:
				d.resources = have(fmt.Sprintf("C a=%d E b=%d L l=%d", i, step, i/2))
			case 1:
				r := ask(kind, which)
				r.InitialResourceVersions = map[string]string{which: "1"}
				r.ResponseNonce = name
				if err := d.request(kind, r); err != nil {
					t.Fatal(err)
				}
			case 2:
				if err := d.request(kind, forget(kind, which)); err != nil {
					t.Fatal(err)
				}
			default:
				if err := d.request(kind, ask(kind)); err != nil {
					t.Fatal(err)
				}
			}
			for _, r := range d.responses() {
				for _, x := range r.Resources {
					if d.resources[xds.Type(r.TypeUrl)][x.Name].Version != x.Version {
						t.Fatalf("%s is told as %s", x.Name, x.Version)
					}
				}
			}
			if again := d.responses(); len(again) > 0 {
				t.Fatalf("told twice: %s", told(again))
			}
		}
	})
}
