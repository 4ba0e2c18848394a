#!/usr/bin/env python3
"""A server for Ferry's http backend, as docs/http-backend.md asks for it, in Python's standard library alone.

items.py TOKEN prints its port, then a line of JSON for each request. Keep `stored` in your database, beside what you store."""
import gzip
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

stored = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.headers.get("Authorization") != f"Bearer {sys.argv[1]}":
            self.answer(401, {"error": "who are you?"})
        elif self.path == "/sync":
            self.answer(200, {"results": [outcome(item) for item in json.loads(body)["items"]]})
        elif self.path == "/readings":
            stored.setdefault(self.headers["Idempotency-Key"], json.loads(body))
            self.answer(201, {"readings": len(stored)})
        elif self.path == "/moved":
            self.answer(308, {}, Location="/sync")
        else:
            self.answer(404, {"error": "no such path"})

    def answer(self, status, content, **fields):
        body = json.dumps(content).encode()
        if "gzip" in self.headers.get("Accept-Encoding", "") and len(body) > 1024:
            body, fields = gzip.compress(body), fields | {"Content-Encoding": "gzip"}
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **fields}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        coding = self.headers.get("Content-Encoding")
        print(json.dumps({"path": self.path, "status": status, "coding": coding, "stored": stored}), flush=True)

    def log_message(self, *_):
        pass


def outcome(item):
    if item["id"] in stored:
        return {"id": item["id"], "outcome": "duplicate"}
    if not isinstance(item["payload"], dict):
        return {"id": item["id"], "outcome": "rejected", "reason": "an object is wanted"}
    if item["payload"].get("busy") and item["attempt"] < 2:
        return {"id": item["id"], "outcome": "retry", "after": 1.5}
    stored[item["id"]] = item["payload"]
    return {"id": item["id"], "outcome": "ok"}


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
