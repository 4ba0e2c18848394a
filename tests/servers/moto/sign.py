"""An app's server that signs uploads (docs/s3-backend.md), for tests: sign.py STORE-URL BUCKET KEY SECRET TOKEN.

It says its port on the first line. The object's key follows from the task's id alone, so that all that is asked of one task
is about one object."""
import http.server
import json
import sys

import boto3
from botocore.config import Config

STORE, BUCKET, KEY, SECRET, TOKEN = sys.argv[1:]
S3 = boto3.client(
    "s3", endpoint_url=STORE, aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1",
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, request_checksum_calculation="when_required"),
)
# What an action is called by boto3, and what it takes beside bucket and key, by the names of the question.
ACTIONS = {
    "put": ("put_object", {}),
    "head": ("head_object", {}),
    "create": ("create_multipart_upload", {}),
    "part": ("upload_part", {"UploadId": "upload", "PartNumber": "part"}),
    "list": ("list_parts", {"UploadId": "upload", "PartNumberMarker": "after"}),
    "complete": ("complete_multipart_upload", {"UploadId": "upload"}),
    "abort": ("abort_multipart_upload", {"UploadId": "upload"}),
}


def grant(asked):
    """The URL and header fields of a request."""
    if asked["action"] not in ACTIONS:
        return {"url": None}
    method, names = ACTIONS[asked["action"]]
    params = {"Bucket": BUCKET, "Key": f"in/{asked['task']}"} | {ours: asked[theirs] for ours, theirs in names.items()}
    headers = {}
    if asked["action"] in ("put", "create"):
        params |= {"ContentType": asked["content_type"], "Metadata": {"sha256": asked["sha256"]}}
        headers = {"content-type": asked["content_type"], "x-amz-meta-sha256": asked["sha256"]}
    if asked["action"] == "create":
        params["ChecksumAlgorithm"] = headers["x-amz-checksum-algorithm"] = "SHA256"
    if asked["action"] == "part":
        params["ChecksumSHA256"] = headers["x-amz-checksum-sha256"] = asked["sha256"]
    return {"url": S3.generate_presigned_url(method, Params=params, ExpiresIn=900), "headers": headers}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers questions."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        body = json.dumps(grant(asked)).encode() if known else b"who are you?"
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json" if known else "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        print(asked["action"], flush=True)

    def log_message(self, *_):
        """Says nothing."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
