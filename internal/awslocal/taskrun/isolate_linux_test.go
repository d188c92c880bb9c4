package taskrun

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lictor/lictor/internal/awslocal"
)

// Isolated tasks have what the documents' start-up script takes for granted.
func TestIsolatedTasks(t *testing.T) {
	t.Parallel()
	n := network(t)
	if n == nil {
		return
	}
	w := newWorld(t, Options{Network: n})
	binary := filepath.Join(t.TempDir(), "consul")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho binary\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.runner.options.Images["consul"] = Image{EntryPoint: []string{"/bin/sh", "-ec"}, Files: map[string]string{"/bin/consul": binary}}
	w.runner.options.Images["helper"] = Image{EntryPoint: []string{"/bin/sh", "-ec"}, Path: []string{"/bin/consul-inject"}}
	d := w.parse(`"volumes":[{"name":"consul_data"},{"name":"consul_binary"}],"containerDefinitions":[
		{"name":"consul-client","image":"consul","essential":true,
		 "command":["hostname > /consul/hostname; touch /usr/bin/mine; echo $$ > /dev/stdout; cp /bin/consul /bin/consul-inject/consul; exec tail -f /dev/null"],
		 "mountPoints":[{"sourceVolume":"consul_data","containerPath":"/consul"},{"sourceVolume":"consul_binary","containerPath":"/bin/consul-inject"}]},
		{"name":"mesh-init","image":"helper","essential":false,
		 "command":["until consul; do :; done; cat /consul/hostname; test ! -e /usr/bin/mine; ! touch /consul/x"],
		 "dependsOn":[{"containerName":"consul-client","condition":"START"}],
		 "mountPoints":[{"sourceVolume":"consul_data","containerPath":"/consul","readOnly":true},{"sourceVolume":"consul_binary","containerPath":"/bin/consul-inject","readOnly":true}]}]`)
	var tasks []*Task
	for range 2 {
		task, err := w.runner.Run(Spec{Definition: d, Region: region})
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
	}
	for _, task := range tasks {
		if err := task.Await(w.ctx, "mesh-init", awslocal.ConditionSuccess); err != nil {
			t.Fatalf("%v: %s", err, task.Log("mesh-init"))
		}
		want := "binary\n" + awslocal.Hostname(task.IPv4, region) + "\n"
		if got := task.Log("mesh-init"); !strings.HasSuffix(got, want) && !strings.Contains(got, want+"touch: ") {
			t.Errorf("mesh-init wrote %q, want %q", got, want)
		}
	}
	for _, path := range []string{"/consul", "/bin/consul-inject", "/usr/bin/mine"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is on this machine", path)
		}
	}
	w.connected(tasks[0].host, "127.0.0.1:8500", tasks[0].DialContext)
	w.connected(tasks[1].host, "127.0.0.1:8500", tasks[1].DialContext)
	w.connected(tasks[0].host, tasks[0].IPv4+":8301", tasks[1].DialContext)
	w.connected(tasks[1].host, tasks[1].IPv4+":8301", new(net.Dialer).DialContext)
	for _, addr := range n.Addrs() {
		w.connected(&host{ns: n.self}, addr+":0", tasks[0].DialContext)
	}
	for _, task := range tasks {
		task.Kill()
		<-task.Done()
		if got := task.Log("consul-client"); got != "1\n" {
			t.Errorf("the agent's process is %q, want 1", got)
		}
	}
}

// connected listens on an address of a host and dials it.
func (w *world) connected(h *host, addr string, dial func(context.Context, string, string) (net.Conn, error)) {
	w.Helper()
	l, err := h.listen(addr)
	if err != nil {
		w.Fatal(err)
	}
	defer l.Close()
	conn, err := dial(w.ctx, "tcp", l.Addr().String())
	if err != nil {
		w.Errorf("dial %s: %v", addr, err)
		return
	}
	_ = conn.Close()
}

func TestUnescape(t *testing.T) {
	for escaped, want := range map[string]string{"/a": "/a", `/a\040b`: "/a b", `/a\134040`: `/a\040`, `/a\9`: `/a\9`, `/a\`: `/a\`} {
		if got := unescape(escaped); got != want {
			t.Errorf("%s: got %q, want %q", escaped, got, want)
		}
	}
}
