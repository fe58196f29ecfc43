#!/usr/bin/env python3
"""An S3 store for tests: moto's, which keeps objects, parts and lists as AWS does, behind a door that checks each request's signature with
botocore's signer and the body's digest, and that fails as it is told by files in FOLDER: `deny` refuses the key, `full` takes nothing,
`lie` changes a byte of each long body. Over HTTPS where STORE_TLS names certificate, key and authority, with colons between.
Usage: store.py PORT FOLDER ACCESS_KEY SECRET_KEY BUCKET   prints `ready`; serves until it is killed
       store.py fetch PORT ACCESS_KEY SECRET_KEY BUCKET DIR   writes every object below DIR"""

import hashlib
import io
import os
import sys


TLS = os.environ["STORE_TLS"].split(":") if "STORE_TLS" in os.environ else None


def client(port, access_key, secret_key):
    import boto3

    scheme, verify = ("https", TLS[2]) if TLS else ("http", None)
    return boto3.client("s3", endpoint_url=f"{scheme}://127.0.0.1:{port}", region_name="us-east-1", verify=verify,
                        aws_access_key_id=access_key, aws_secret_access_key=secret_key)


def fetch(port, access_key, secret_key, bucket, folder):
    store = client(port, access_key, secret_key)
    for page in store.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for found in page.get("Contents", []):
            path = os.path.join(folder, found["Key"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            store.download_file(bucket, found["Key"], path)


class Door:
    def __init__(self, inner, folder, access_key, secret_key):
        self.inner, self.folder, self.keys = inner, folder, (access_key, secret_key)

    def is_told(self, name):
        return os.path.exists(os.path.join(self.folder, name))

    def is_signed(self, environ, body):
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        told = environ.get("HTTP_AUTHORIZATION", "")
        digest = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
        if digest != "UNSIGNED-PAYLOAD" and digest != hashlib.sha256(body).hexdigest():
            return False
        names = told.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        headers = {name: environ.get("HTTP_" + name.upper().replace("-", "_")) or environ.get(name.upper().replace("-", "_"), "")
                   for name in names}
        url = f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}"
        request = AWSRequest(method=environ["REQUEST_METHOD"], url=url, data=body, headers=headers)
        signer = S3SigV4Auth(Credentials(*self.keys), "s3", "us-east-1")
        request.context["timestamp"] = environ["HTTP_X_AMZ_DATE"]
        canonical = signer.canonical_request(request)
        signature = signer.signature(signer.string_to_sign(request, canonical), request)
        return told.rpartition("Signature=")[2] == signature

    def __call__(self, environ, start_response):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        refused = None
        if self.is_told("deny") or not self.is_signed(environ, body):
            refused = ("403 Forbidden", "ExpiredToken" if self.is_told("deny") else "SignatureDoesNotMatch")
        elif self.is_told("full") and environ["REQUEST_METHOD"] == "PUT":
            refused = ("507 Insufficient Storage", "XMinioStorageFull")
        if refused:
            status, code = refused
            text = b"" if environ["REQUEST_METHOD"] == "HEAD" else f"<Error><Code>{code}</Code></Error>".encode()
            start_response(status, [("Content-Length", str(len(text)))])
            return [text]
        if self.is_told("lie") and environ["REQUEST_METHOD"] == "PUT" and len(body) > 20_000:
            body = bytes([body[0] ^ 1]) + body[1:]
        environ["wsgi.input"] = io.BytesIO(body)
        return self.inner(environ, start_response)


def serve(port, folder, access_key, secret_key, bucket):
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Door(DomainDispatcherApplication(create_backend_app), folder, access_key, secret_key)
    server = make_server("127.0.0.1", int(port), app, threaded=True, ssl_context=tuple(TLS[:2]) if TLS else None)
    import threading

    threading.Thread(target=server.serve_forever, daemon=True).start()
    client(port, access_key, secret_key).create_bucket(Bucket=bucket)
    print("ready", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    if sys.argv[1] == "fetch":
        fetch(*sys.argv[2:])
    else:
        serve(*sys.argv[1:])
