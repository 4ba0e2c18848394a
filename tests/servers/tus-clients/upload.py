"""Uploads a file with tuspy: upload.py URL FILE CHUNK [STOP]. Without STOP to its end, with checksums; with STOP that far,
then anew from where the server stands, as after a restart. Prints the upload's URL path."""
import sys
from urllib.parse import urlsplit

from tusclient import client

url, path, chunk = sys.argv[1], sys.argv[2], int(sys.argv[3])
tus = client.TusClient(url)
options = {"chunk_size": chunk, "upload_checksum": True, "retries": 3, "retry_delay": 0}
uploader = tus.uploader(path, metadata={"filename": path, "label": "Straße"}, **options)
if len(sys.argv) > 4:
    uploader.upload(stop_at=int(sys.argv[4]))
    uploader = tus.uploader(path, url=uploader.url, **options)
uploader.upload()
print(urlsplit(uploader.url).path)
