#!/usr/bin/python3
"""Hands work to Ferry and waits until the server has it, with Gio (Debian package python3-gi).

    examples/enqueue.py '{"photo": 7, "title": "Harbour"}'
    examples/enqueue.py --file harbour.jpg
"""

import os
import sys
import uuid

from gi.repository import Gio, GLib

NAME, ROOT = "org.ferryd.Ferry1", "/org/ferryd/Ferry1"
DBUS_ERROR = "org.freedesktop.DBus.Error."
# ferryd has gone, or is going: when it is back, one calls again.
AWAY = {DBUS_ERROR + "ServiceUnknown", DBUS_ERROR + "NoReply", NAME + ".Error.Unavailable"}
ENDED = {"done", "failed", "cancelled"}

bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)


def call(interface, method, arguments, files=None):
    # No time limit: a large file takes its time to be copied, and if ferryd ends, the bus answers for it.
    flags, limit = Gio.DBusCallFlags.NONE, GLib.MAXINT
    interface = f"{NAME}.{interface}"
    answer, _ = bus.call_with_unix_fd_list_sync(NAME, ROOT, interface, method, arguments, None, flags, limit, files)
    return answer.unpack()


def enqueue(words, options):
    if words[0] != "--file":
        (task,) = call("Tasks", "Enqueue", GLib.Variant("(ssa{sv})", ("metadata", words[0], options)))
        return task
    files = Gio.UnixFDList.new()
    with open(words[1], "rb") as file:
        place = files.append(file.fileno())
    options = options | {"name": GLib.Variant("s", os.path.basename(words[1]))}
    (task,) = call("Tasks", "EnqueueFile", GLib.Variant("(sha{sv})", ("photo", place, options)), files)
    return task


def main(words):
    # With the same request_id a repeated call adds nothing. An app that keeps it with its work may crash, too.
    options = {"request_id": GLib.Variant("s", str(uuid.uuid4())), "key": GLib.Variant("s", "example")}
    task, subscribed, news = None, False, [True]

    def told(_bus, _sender, _path, _interface, _signal, arguments):
        if arguments[0] == task:
            news.append(True)

    def came_or_went(*_):
        nonlocal subscribed
        subscribed = False
        news.append(True)

    bus.signal_subscribe(NAME, NAME + ".Tasks", "StateChanged", ROOT, None, Gio.DBusSignalFlags.NONE, told)
    Gio.bus_watch_name_on_connection(bus, NAME, Gio.BusNameWatcherFlags.NONE, came_or_went, came_or_went)

    while True:
        while not news:
            GLib.MainContext.default().iteration(True)
        news.clear()
        try:
            # First: then no change can be missed.
            if not subscribed:
                call("Manager", "Subscribe", GLib.Variant("(a{sv})", ({},)))
                subscribed = True
            if not task:
                task = enqueue(words, options)
            (shown,) = call("Tasks", "Get", GLib.Variant("(s)", (task,)))
        except GLib.Error as error:
            if Gio.DBusError.get_remote_error(error) not in AWAY:
                sys.exit(error.message)
            print("waiting for ferryd", flush=True)
            continue
        print(task, shown["state"], *shown["reasons"], shown["error"], flush=True)
        if shown["state"] in ENDED:
            print(shown["result"])
            return shown["state"] == "done"


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
