#!/bin/sh
# Hands one task to Ferry with nothing but busctl, and says where it stands.
#   examples/enqueue.sh '{"photo": 7, "title": "Harbour"}'
set -eu
tasks() { busctl call org.ferryd.Ferry1 /org/ferryd/Ferry1 org.ferryd.Ferry1.Tasks "$@"; }

# The answer is: s "ID"
id=$(tasks Enqueue 'ssa{sv}' metadata "$1" 1 app s example | cut -d'"' -f2)
echo "$id"
tasks Get s "$id"
tasks Explain 'sa{sv}' "$id" 0
