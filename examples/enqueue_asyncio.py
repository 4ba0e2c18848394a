"""Hands work to Ferry and waits until the server has it, with asyncio and dbus-fast (see requirements.txt).

    python3 examples/enqueue_asyncio.py '{"photo": 7, "title": "Harbour"}'
    python3 examples/enqueue_asyncio.py --file harbour.jpg
"""

import asyncio
import os
import sys
import uuid

from dbus_fast import BusType, DBusError, Variant
from dbus_fast.aio import MessageBus

NAME, ROOT = "org.ferryd.Ferry1", "/org/ferryd/Ferry1"
DBUS, DBUS_ROOT = "org.freedesktop.DBus", "/org/freedesktop/DBus"
# ferryd has gone, or is going: when it is back, one calls again.
AWAY = {DBUS + ".Error.ServiceUnknown", DBUS + ".Error.NoReply", NAME + ".Error.Unavailable"}
ENDED = {"done", "failed", "cancelled"}


async def enqueue(tasks, words, options):
    if words[0] != "--file":
        return await tasks.call_enqueue("metadata", words[0], options)
    with open(words[1], "rb") as file:
        name = Variant("s", os.path.basename(words[1]))
        return await tasks.call_enqueue_file("photo", file.fileno(), options | {"name": name})


async def main(words):
    # With the same request_id a repeated call adds nothing. An app that keeps it with its work may crash, too.
    options = {"request_id": Variant("s", str(uuid.uuid4())), "key": Variant("s", "example")}
    task, subscribed, news = None, False, asyncio.Event()
    manager = tasks = None

    def told(changed, _strategy, _state, _details):
        if changed == task:
            news.set()

    def came_or_went(name, _before, _after):
        nonlocal subscribed
        if name == NAME:
            subscribed = False
            news.set()

    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    driver = bus.get_proxy_object(DBUS, DBUS_ROOT, await bus.introspect(DBUS, DBUS_ROOT))
    driver.get_interface(DBUS).on_name_owner_changed(came_or_went)

    while True:
        news.clear()
        try:
            if not tasks:
                ferry = bus.get_proxy_object(NAME, ROOT, await bus.introspect(NAME, ROOT))
                manager, tasks = (ferry.get_interface(f"{NAME}.{face}") for face in ("Manager", "Tasks"))
                tasks.on_state_changed(told)
            # First: then no change can be missed.
            if not subscribed:
                await manager.call_subscribe({})
                subscribed = True
            if not task:
                task = await enqueue(tasks, words, options)
            shown = await tasks.call_get(task)
        except DBusError as error:
            if error.type not in AWAY:
                sys.exit(error.text)
            print("waiting for ferryd", flush=True)
        else:
            state = shown["state"].value
            print(task, state, *shown["reasons"].value, shown["error"].value, flush=True)
            if state in ENDED:
                print({key: value.value for key, value in shown["result"].value.items()})
                return state == "done"
        await news.wait()


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(sys.argv[1:])) else 1)
