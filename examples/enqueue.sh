#!/bin/sh
# Hands work to Ferry with nothing but busctl, and waits until the server has it.
#
#     examples/enqueue.sh '{"photo": 7, "title": "Harbour"}'
#
# Each busctl is a connection of its own, which no signal reaches: this has to ask every second. `ferryctl enqueue --wait`
# hears of it, and `ferryctl put` hands files over.
set -eu
ferry=org.ferryd.Ferry1

owner() {
  busctl call org.freedesktop.DBus /org/freedesktop/DBus org.freedesktop.DBus GetNameOwner s $ferry 2>/dev/null || true
}

# tasks METHOD …: calls until ferryd answers. A refusal of one that is still there a second later is an answer, too.
tasks() {
  while before=$(owner) && ! busctl --json=short call $ferry /org/ferryd/Ferry1 $ferry.Tasks "$@"; do
    sleep 1
    [ -z "$before" ] || [ "$before" != "$(owner)" ] || exit 1
    echo "waiting for ferryd" >&2
  done
}

# With the same request_id a repeated call adds nothing. An app that keeps it with its work may crash, too.
request=$(cat /proc/sys/kernel/random/uuid)
answer=$(tasks Enqueue 'ssa{sv}' metadata "$1" 2 request_id s "$request" key s example)
id=$(echo "$answer" | cut -d'"' -f8) # {"type":"s","data":["ID"]}
tasks Explain 'sa{sv}' "$id" 0       # why not yet

while task=$(tasks Get s "$id"); do
  state=$(echo "$task" | sed 's/.*"state":{"type":"s","data":"\([a-z]*\)"}.*/\1/')
  echo "$id $state"
  case $state in
  done) exit ;;
  failed | cancelled) echo "$task" && exit 1 ;;
  esac
  sleep 1
done
