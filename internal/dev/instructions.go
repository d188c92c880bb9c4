package dev

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/lictor/lictor/internal/awslocal"
)

// goOn runs the tasks again for the reader, writes two files to source and prints what can be pasted.
func (w *world) goOn(ctx context.Context) error {
	if err := w.startServices(); err != nil {
		return err
	}
	if err := w.await(ctx, func(s *service) string { return s.name }, awslocal.ConditionHealthy); err != nil {
		return err
	}
	web := w.services[0]
	if _, err := callUntil(ctx, newCaller(false), "http://"+web.application()+"/api", false); err != nil {
		return err
	}
	t, err := w.startTask("consul-ecs/web")
	if err != nil {
		return err
	}
	env := append([]string{"PATH=" + w.tools.bin + ":" + os.Getenv("PATH")}, w.operator()...)
	if err := writeEnv(w.file("env"), env); err != nil {
		return err
	}
	taskEnv := append(t.env, "TASK_ID="+t.ID, "CLUSTER_ARN=arn:aws:ecs:"+region+":"+account+":cluster/"+clusterName)
	if err := writeEnv(w.file("task.env"), taskEnv); err != nil {
		return err
	}
	login := w.login(t, clientMethod, w.file("client-token"))
	_, err = fmt.Fprintf(w.opts.Out, instructions,
		w.https(), loopback(w.servers[0].http), w.management.Reveal(), w.dir, w.logOf(w.servers[0]),
		shell(".", w.file("env")),
		web.application(), web.toUpstream(),
		shell(".", w.file("task.env")),
		shell(append([]string{"consul"}, login...)...),
		shell("consul", "acl", "token", "read", "-self", "-token-file", w.file("client-token")),
		shell("consul", "logout", "-token-file", w.file("client-token")),
		account, emptyPartition, demoNamespace)
	return err
}

// writeEnv writes NAME=value pairs as a file that a shell can source.
func writeEnv(path string, pairs []string) error {
	var text strings.Builder
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		fmt.Fprintf(&text, "export %s=%s\n", name, shell(value))
	}
	return os.WriteFile(path, []byte(text.String()), 0o600)
}

const instructions = `
The system keeps running, with two tasks, web and api. Stop it with Ctrl-C.

  HTTPS             https://%s
  HTTP              http://%s
  management token  %s
  files             %s
  server log        %s

In another terminal, be the operator:
  %s
  consul catalog services -partition demo
  consul catalog services -partition demo -namespace team-1
  consul acl auth-method list -partition demo
  consul acl token list -partition demo

web calls api through the mesh; an intention decides whether it may, and the mesh CA changes its root under it:
  curl http://%s/api
  curl http://%s
  consul intention list -partition demo
  consul intention create -partition demo -replace -deny team-1/web default/api
  consul intention create -partition demo -replace -allow team-1/web default/api
  consul connect ca get-config
  echo '{"Provider": "consul", "Config": {"PrivateKeyBits": 384}}' | consul connect ca set-config -config-file -
  curl --cacert "$CONSUL_CACERT" "$CONSUL_HTTP_ADDR/v1/connect/ca/roots?pretty"
The first is web's application, which asks api; the second is its upstream itself, the listener of its sidecar. 256
in place of 384 makes another root again.

Be a task, with the credentials of role consul-ecs/web:
  %s
  %s
  %s
  %s

The commands of the documents work as written: put %s for <ACCOUNT>, %s for
<partition-name> (its namespace %s exists); the default partition is empty too.
`
