// Hands work to Ferry and waits until the server has it, with dbus-next in its kept fork: `npm ci` in this folder first.
//
//     node examples/enqueue.js '{"photo": 7, "title": "Harbour"}'
//
// Sockets of Node.js carry no descriptors: files are handed over with `ferryctl put`.
import { randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { Variant, systemBus } from "@jellybrick/dbus-next";

const NAME = "org.ferryd.Ferry1";
const ROOT = "/org/ferryd/Ferry1";
const DBUS = "org.freedesktop.DBus";
const DBUS_ROOT = "/org/freedesktop/DBus";
// ferryd has gone, or is going: when it is back, one calls again.
const AWAY = [`${DBUS}.Error.ServiceUnknown`, `${DBUS}.Error.NoReply`, `${NAME}.Error.Unavailable`];
const ENDED = ["done", "failed", "cancelled"];

const text = (value) => new Variant("s", value);

async function handOver(bus, payload) {
  // With the same request_id a repeated call adds nothing. An app that keeps it with its work may crash, too.
  const options = { request_id: text(randomUUID()), key: text("example") };
  const news = new EventEmitter();
  let manager, tasks, id;
  let subscribed = false;

  const driver = (await bus.getProxyObject(DBUS, DBUS_ROOT)).getInterface(DBUS);
  driver.on("NameOwnerChanged", (name) => {
    if (name !== NAME) return;
    subscribed = false;
    news.emit("changed");
  });

  for (;;) {
    const changed = once(news, "changed");
    try {
      if (!tasks) {
        const ferry = await bus.getProxyObject(NAME, ROOT);
        [manager, tasks] = ["Manager", "Tasks"].map((face) => ferry.getInterface(`${NAME}.${face}`));
        tasks.on("StateChanged", (task) => task === id && news.emit("changed"));
      }
      // First: then no change can be missed.
      if (!subscribed) await manager.Subscribe({});
      subscribed = true;
      id ??= await tasks.Enqueue("metadata", payload, options);
      const { state, reasons, error, result } = await tasks.Get(id);
      console.log(id, state.value, ...reasons.value, error.value);
      if (ENDED.includes(state.value)) {
        console.log(Object.fromEntries(Object.entries(result.value).map(([key, { value }]) => [key, value])));
        return state.value === "done";
      }
    } catch (error) {
      if (!AWAY.includes(error.type)) throw error;
      console.log("waiting for ferryd");
    }
    await changed;
  }
}

const bus = systemBus();
try {
  process.exitCode = (await handOver(bus, process.argv[2])) ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  bus.disconnect();
}
