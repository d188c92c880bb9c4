# What a program does with Debian's python3-consul. It prints a line for each step.
import json
import os
import time
import urllib.request

import consul

PORT = int(os.environ["PORT"])


def step(name, ok=True):
    assert ok, name
    print("ok " + name)


def bootstrap():
    # The client has no call for it: it knows the ACLs of old alone.
    for _ in range(200):
        try:
            req = urllib.request.Request("http://127.0.0.1:%d/v1/acl/bootstrap" % PORT, method="PUT")
            with urllib.request.urlopen(req) as answer:
                return json.load(answer)["SecretID"]
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("no leader")


c = consul.Consul(port=PORT, token=bootstrap())

step("status.leader", c.status.leader())
step("status.peers", len(c.status.peers()) == 1)
step("agent.self", c.agent.self()["Config"]["NodeName"] == "srv1")
step("agent.members", len(c.agent.members()) == 1)

index, data = c.kv.get("foo")
step("kv.get of nothing", data is None and int(index) > 0)
step("kv.put", c.kv.put("foo", "bar", flags=3) is True)
index, data = c.kv.get("foo")
step("kv.get", (data["Value"], data["Flags"]) == (b"bar", 3))
step("kv.put cas", c.kv.put("foo", "no", cas=1) is False)
c.kv.put("foo/x", "1")
step("kv.get recurse", [d["Key"] for d in c.kv.get("foo", recurse=True)[1]] == ["foo", "foo/x"])
step("kv.get keys", c.kv.get("foo", keys=True)[1] == ["foo", "foo/x"])
step("kv.get blocks", c.kv.get("foo", index=index, wait="100ms")[1]["Value"] == b"bar")
step("kv.delete", c.kv.delete("foo", recurse=True) is True and c.kv.get("foo")[1] is None)

try:
    consul.Consul(port=PORT, token="nobody").kv.put("foo", "bar")
    step("denied with an unknown token", False)
except consul.ACLPermissionDenied:
    step("denied with an unknown token")

step(
    "agent.service.register",
    c.agent.service.register("web", service_id="web-1", address="127.0.0.1", port=8080, tags=["v1"], check=consul.Check.ttl("1h")),
)
step("agent.services", c.agent.services()["web-1"]["Port"] == 8080)
step("agent.checks", c.agent.checks()["service:web-1"]["Status"] == "critical")

# This release reports with GET, which Consul has refused since 1.0: so do we.
step("agent.check.ttl_pass is of old", c.agent.check.ttl_pass("service:web-1") is False)
put = c.http.session.put
step("a report", put("http://127.0.0.1:%d/v1/agent/check/pass/service:web-1?note=fine" % PORT).status_code == 200)

index, nodes = c.health.service("web", passing=True)
while not nodes:
    index, nodes = c.health.service("web", passing=True, index=index, wait="5s")
step("health.service", nodes[0]["Service"]["Tags"] == ["v1"])
step("health.checks", c.health.checks("web")[1][0]["Output"] == "fine")
step("health.node", len(c.health.node("srv1")[1]) >= 2)
step("health.state", len(c.health.state("passing")[1]) >= 2)

step("agent.check.register", c.agent.check.register("disk", check=consul.Check.ttl("1h")))
step("agent.checks of the node", c.agent.checks()["disk"]["Type"] == "ttl")
step("agent.service.maintenance", c.agent.service.maintenance("web-1", "true", "repair"))
step("maintenance over", c.agent.service.maintenance("web-1", "false"))

step("catalog.register", c.catalog.register("ext", "10.0.0.1", service={"Service": "db", "Port": 5432}))
step("catalog.nodes", [n["Node"] for n in c.catalog.nodes()[1]] == ["ext", "srv1"])
step("catalog.services", c.catalog.services()[1]["db"] == [])
step("catalog.service", c.catalog.service("db")[1][0]["ServicePort"] == 5432)
step("catalog.node", "db" in c.catalog.node("ext")[1]["Services"])
step("catalog.datacenters", c.catalog.datacenters() == ["dc1"])
step("catalog.deregister", c.catalog.deregister("ext"))

session = c.session.create(name="lock", ttl=30, behavior="delete")
step("session.create", len(session) == 36)
step("kv.put acquire", c.kv.put("lock", "mine", acquire=session) is True)
step("session.info", c.session.info(session)[1]["Name"] == "lock")
step("session.renew", c.session.renew(session)["ID"] == session)
step("session.node", len(c.session.node("srv1")[1]) == 1)
step("session.destroy", c.session.destroy(session) and c.session.list()[1] == [])
step("behavior of the session", c.kv.get("lock")[1] is None)

step("agent.service.deregister is of old", c.agent.service.deregister("web-1") is False)
