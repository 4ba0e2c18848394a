#!/usr/bin/python3
"""Hands one task to Ferry and waits until the server has it (Debian package python3-gi).

    examples/enqueue.py '{"photo": 7, "title": "Harbour"}'

With --session it uses the session bus instead of the system bus.
"""

import json
import sys
import uuid

from gi.repository import Gio, GLib

NAME, PATH, TASKS = "org.ferryd.Ferry1", "/org/ferryd/Ferry1", "org.ferryd.Ferry1.Tasks"


def main(arguments):
    session = "--session" in arguments
    payload = next((word for word in arguments if not word.startswith("--")), "{}")
    json.loads(payload)  # fail here rather than at the daemon

    bus = Gio.bus_get_sync(Gio.BusType.SESSION if session else Gio.BusType.SYSTEM)

    def call(interface, method, arguments, reply=None):
        answer = bus.call_sync(NAME, PATH, interface, method, arguments, reply and GLib.VariantType(reply), 0, -1, None)
        return answer.unpack()

    # Subscribe first: then no change of state can be missed.
    loop = GLib.MainLoop()
    ended = {}

    def changed(_bus, _sender, _path, _interface, _signal, parameters):
        task, _strategy, state, details = parameters.unpack()
        ended[task] = (state, details.get("error", ""))
        if task == mine and state in ("done", "failed", "cancelled"):
            loop.quit()

    mine = None
    bus.signal_subscribe(NAME, TASKS, "StateChanged", PATH, None, 0, changed)
    call("org.ferryd.Ferry1.Manager", "Subscribe", GLib.Variant("(a{sv})", ({},)))

    # Should this program die before it reads the answer, the same request_id adds nothing when it calls again.
    options = {"request_id": GLib.Variant("s", str(uuid.uuid4())), "app": GLib.Variant("s", "example")}
    (mine,) = call(TASKS, "Enqueue", GLib.Variant("(ssa{sv})", ("metadata", payload, options)), "(s)")
    print(mine, flush=True)

    for reason, _since, clears, _detail in call(TASKS, "Explain", GLib.Variant("(sa{sv})", (mine, {})), "(a(stsa{sv}))")[0]:
        print(f"waiting: {reason} ({clears})", flush=True)
    if ended.get(mine, ("",))[0] not in ("done", "failed", "cancelled"):
        loop.run()
    state, error = ended[mine]
    print(state, error)
    return 0 if state == "done" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
