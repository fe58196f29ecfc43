"""Uploads what lies in a folder by tuspy: upload.py URL TOKEN FOLDER CHUNK [DATASET]. What fails is tried again for a minute."""

import sys
import time
import urllib.parse
from pathlib import Path

import requests
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

url, token, folder, chunk = sys.argv[1:5]
dataset = sys.argv[5] if len(sys.argv) > 5 else None
head = {"Authorization": f"Bearer {token}"}
client = TusClient(urllib.parse.urljoin(url, "uploads"), headers=head)
until = time.monotonic() + 60


def upload(path: Path) -> None:
    metadata = {"filename": path.relative_to(folder).as_posix()}
    if dataset is not None:
        metadata["dataset"] = dataset
    uploader = client.uploader(str(path), metadata=metadata, chunk_size=int(chunk), retries=100, retry_delay=0.2, upload_checksum=True)
    while True:
        try:
            return uploader.upload()
        except TusCommunicationError:
            # tuspy does not try again to begin an upload.
            if time.monotonic() > until or uploader.url is not None:
                raise
            time.sleep(0.2)


for path in sorted(Path(folder).rglob("*")):
    if path.is_file():
        upload(path)
        print(path.name, flush=True)

while dataset is not None:
    name = urllib.parse.quote(dataset, safe="")
    try:
        answer = requests.post(urllib.parse.urljoin(url, f"datasets/{name}/complete"), headers=head)
        if answer.status_code == 204:
            break
        why = answer.text
    except requests.ConnectionError as error:
        why = str(error)
    if time.monotonic() > until:
        sys.exit(why)
    time.sleep(0.2)
