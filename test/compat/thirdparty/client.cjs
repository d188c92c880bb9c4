// What a program does with the npm package consul. It prints a line for each step.
const assert = require("assert");
const Consul = require("consul");

const port = process.env.PORT;
const fresh = new Consul({ port });

async function step(name, work) {
  const result = await work();
  console.log("ok " + name);
  return result;
}

// Until the server has a leader, requests fail.
async function ready() {
  for (let i = 0; i < 200; i++) {
    try {
      if (await fresh.status.leader()) return;
    } catch {}
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("no leader");
}

// Watches return what happens; this resolves with the first result that suits.
function changed(watch, suits) {
  return new Promise((resolve, reject) => {
    watch.on("change", (data) => {
      if (suits(data)) {
        watch.end();
        resolve(data);
      }
    });
    watch.on("error", (err) => {
      watch.end();
      reject(err);
    });
  });
}

async function main() {
  await ready();
  const token = await step("acl.bootstrap", async () => {
    const made = await fresh.acl.bootstrap();
    assert.match(made.SecretID, /^[0-9a-f-]{36}$/);
    await assert.rejects(fresh.acl.bootstrap(), { statusCode: 403 });
    return made.SecretID;
  });
  const consul = new Consul({ port, defaults: { token } });

  await step("acl.replication", async () => assert.equal((await consul.acl.replication()).Enabled, false));
  await step("denied without a token", () => assert.rejects(fresh.kv.set("a", "b"), { statusCode: 403 }));

  await step("kv.set, get, keys, del", async () => {
    assert.equal(await consul.kv.set("app/a", "one"), true);
    assert.equal(await consul.kv.set({ key: "app/b", value: "two", flags: 7 }), true);
    const b = await consul.kv.get("app/b");
    assert.deepEqual([b.Value, b.Flags], ["two", 7]);
    assert.ok(!(await consul.kv.set({ key: "app/b", value: "three", cas: "1" })));
    assert.deepEqual(await consul.kv.keys("app/"), ["app/a", "app/b"]);
    assert.equal((await consul.kv.get({ key: "app/", recurse: true })).length, 2);
    assert.equal(await consul.kv.del({ key: "app/", recurse: true }), true);
    assert.equal(await consul.kv.get("app/a"), undefined);
  });

  await step("transaction.create", async () => {
    const done = await consul.transaction.create([
      { KV: { Verb: "set", Key: "t", Value: Buffer.from("v").toString("base64") } },
      { KV: { Verb: "get", Key: "t" } },
    ]);
    assert.equal(done.Results.length, 2);
  });

  await step("agent.self, members", async () => {
    assert.equal((await consul.agent.self()).Config.NodeName, "srv1");
    assert.equal((await consul.agent.members()).length, 1);
  });

  await step("agent.service.register", async () => {
    await consul.agent.service.register({
      name: "web", id: "web-1", address: "127.0.0.1", port: 8080, tags: ["v1"], meta: { a: "b" }, check: { ttl: "1h" },
    });
    const list = await consul.agent.service.list();
    assert.deepEqual([list["web-1"].Port, list["web-1"].Tags], [8080, ["v1"]]);
    await consul.agent.check.register({ name: "disk", ttl: "1h", status: "passing", notes: "free space" });
    assert.ok((await consul.agent.check.list()).disk);
  });

  await step("health.service and agent.check.pass", async () => {
    assert.equal((await consul.health.service({ service: "web", passing: true })).length, 0);
    await consul.agent.check.pass("service:web-1");
    const found = await changed(
      consul.watch({ method: consul.health.service, options: { service: "web", passing: true } }),
      (data) => data.length === 1,
    );
    assert.equal(found[0].Service.ID, "web-1");
    assert.equal((await consul.health.checks("web"))[0].Status, "passing");
    assert.ok((await consul.health.state("passing")).length >= 2);
    assert.ok((await consul.health.node("srv1")).length >= 2);
  });

  await step("agent.service.maintenance", async () => {
    await consul.agent.service.maintenance({ id: "web-1", enable: true, reason: "repair" });
    await changed(
      consul.watch({ method: consul.health.service, options: { service: "web", passing: true } }),
      (data) => data.length === 0,
    );
    await consul.agent.service.maintenance({ id: "web-1", enable: false });
  });

  await step("catalog", async () => {
    assert.deepEqual(await consul.catalog.datacenters(), ["dc1"]);
    assert.equal((await consul.catalog.node.list())[0].Node, "srv1");
    assert.deepEqual((await consul.catalog.service.list()).web, ["v1"]);
    assert.equal((await consul.catalog.service.nodes("web"))[0].ServicePort, 8080);
  });

  await step("watch of a key", async () => {
    const seen = changed(consul.watch({ method: consul.kv.get, options: { key: "watched" } }), (data) => data && data.Value === "later");
    await consul.kv.set("watched", "now");
    await consul.kv.set("watched", "later");
    await seen;
  });

  await step("session, lock", async () => {
    const { ID } = await consul.session.create({ name: "lock", ttl: "30s" });
    assert.equal(await consul.kv.set({ key: "lock", value: "mine", acquire: ID }), true);
    assert.equal((await consul.kv.get("lock")).Session, ID);
    await consul.session.renew(ID);
    assert.equal((await consul.session.info(ID)).Name, "lock");
    assert.equal((await consul.session.list()).length, 1);
    assert.equal(await consul.kv.set({ key: "lock", value: "", release: ID }), true);
    await consul.session.destroy(ID);
    assert.equal((await consul.session.list()).length, 0);
  });

  await step("agent.service.deregister", async () => {
    await consul.agent.service.deregister("web-1");
    await consul.agent.check.deregister("disk");
    await changed(
      consul.watch({ method: consul.catalog.service.list }),
      (data) => !data.web,
    );
  });

  await step("status", async () => assert.equal((await consul.status.peers()).length, 1));
}

main().then(
  () => process.exit(0),
  (err) => {
    console.error(err);
    process.exit(1);
  },
);
