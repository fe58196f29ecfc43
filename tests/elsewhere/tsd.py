#!/usr/bin/env python3
"""TSD's file API for tests, as its public source does it (unioslo/tsd-file-api: api.py, resumables.py): a project's import, `p11`, with files
that come whole or in pieces, and beside it the key that is exchanged for tokens. What it does that one would not expect is what the
original does: folders keep the encoding that they have in a request that stores; a file is moved to its folder after the answer, through one
place for all of its name; a list leaves out uploads without a whole piece; a disk that is full in the middle of a piece leaves that piece
torn under its name.

It fails as it is told by files in FOLDER: `deny` refuses the key; `void` ends all tokens when a second piece comes, once; `full` has no quota left; `torn` has
the disk full in the middle of a second piece, once; `lie` changes a byte of each long piece; `lose` never moves a file to its folder; `slow`
moves it after a while. What is imported stands in FOLDER/import. Over HTTPS where TSD_TLS names certificate and key, with a colon between.
Usage: tsd.py PORT FOLDER API_KEY   prints `ready`; serves until it is killed"""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import ssl
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, unquote_plus

PROJECT, GROUPS, LIFETIME = "p11", ["p11-member-group", "p11-data-group"], 3600
RESERVED = [r"(.+)\.([a-f\d0-9-]{32,36})$", r"(.+).([a-f\d0-9-]{32,36}).part$"]


class Refused(Exception):
    pass


class Import:
    """The import folder, and the table of uploads."""

    def __init__(self, folder):
        self.folder, self.root = folder, os.path.join(folder, "import")
        os.makedirs(self.root, exist_ok=True)
        self.lock, self.uploads, self.generation = threading.RLock(), {}, 0

    def is_told(self, name):
        return os.path.exists(os.path.join(self.folder, name))

    def is_told_once(self, name):
        try:
            os.remove(os.path.join(self.folder, name))
            return True
        except FileNotFoundError:
            return False

    def path(self, *names):
        return os.path.join(self.root, *names)

    def pieces(self, upload):
        found = [name for name in os.listdir(self.path(upload)) if ".part" not in name]
        return sorted(found, key=lambda name: int(name.rsplit(".", 1)[1]))

    def info(self, upload):
        """What is told of an upload; nothing where that cannot be known."""
        row = self.uploads[upload]
        last = self.pieces(upload)[-1]
        with open(self.path(upload, last), "rb") as file:
            bytes_ = file.read()
        name, number = last.split(".chunk.")
        end = sum(row["sizes"])
        if os.path.getsize(self.path(f"{name}.{upload}")) != end:
            return None
        return {"filename": name, "id": upload, "chunk_size": len(bytes_), "max_chunk": int(number),
                "md5sum": hashlib.md5(bytes_).hexdigest(), "previous_offset": end - len(bytes_), "next_offset": end,
                "warning": None, "group": row["group"], "key": row["key"]}

    def list(self):
        told = []
        for upload in list(self.uploads):
            try:
                info = self.info(upload)
            except (OSError, IndexError):
                continue
            if info and info["chunk_size"]:
                told.append(info)
        return told

    def begin_piece(self, upload, number, name, group, key):
        """Where the piece is written before it is whole."""
        if number == 1:
            os.makedirs(self.path(upload))
            self.uploads[upload] = {"group": group, "key": key, "sizes": []}
        else:
            last = int(self.pieces(upload)[-1].rsplit(".", 1)[1])
            if number != last + 1:
                raise Refused("chunk_order_incorrect")
        return self.path(upload, f"{name}.chunk.{number}.{uuid.uuid4()}.part")

    def end_piece(self, part, upload, number, name):
        whole = self.path(upload, f"{name}.chunk.{number}")
        if os.path.exists(whole):
            raise Refused("chunk_order_incorrect")
        if ".part" in name:
            raise AssertionError("the original asserts that no name has it")
        os.rename(part, whole)
        merged = self.path(f"{name.split('.chunk')[0]}.{upload}")
        with open(whole, "rb") as piece, open(merged, "ab") as file:
            shutil.copyfileobj(piece, file)
        self.uploads[upload]["sizes"].append(os.path.getsize(whole))
        if number >= 5:
            os.remove(self.path(upload, f"{name}.chunk.{number - 4}"))

    def finalise(self, upload, name):
        """Where the file is, which is not its folder yet."""
        name = name.split(".chunk")[0]
        final = self.path(name)
        os.rename(self.path(f"{name}.{upload}"), final)
        shutil.rmtree(self.path(upload))
        del self.uploads[upload]
        return final

    def move(self, final, folder, mtime):
        """What follows the answer; what fails is not told to anybody."""
        if self.is_told("lose"):
            return
        if self.is_told("slow"):
            time.sleep(0.3)
        try:
            there = os.path.join(folder, os.path.basename(final))
            os.rename(final, there)
            if mtime:
                os.utime(there, (float(mtime), float(mtime)))
        except OSError as error:
            print(f"could not move: {error}", flush=True)

    def remove_upload(self, name, upload):
        if upload not in self.uploads:
            raise Refused(403)
        shutil.rmtree(self.path(upload))
        os.remove(self.path(f"{name}.{upload}"))
        del self.uploads[upload]


def token(state, api_key):
    def part(claims):
        return base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()

    claims = {"exp": int(time.time()) + LIFETIME, "proj": PROJECT, "user": "p11-sluse", "name": "import", "n": state.generation}
    text = part({"alg": "HS256"}) + "." + part(claims)
    return text + "." + hmac.new(api_key.encode(), text.encode(), "sha256").hexdigest()


def is_good(state, api_key, bearer):
    try:
        text, signature = bearer.rsplit(".", 1)
        claims = text.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    except (ValueError, IndexError):
        return False
    ours = hmac.compare_digest(signature, hmac.new(api_key.encode(), text.encode(), "sha256").hexdigest())
    return ours and claims["exp"] > time.time() and claims["n"] == state.generation


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state, api_key = None, None
    timeout = 600

    def log_message(self, *_):
        pass

    def answer(self, status, told=None, headers=()):
        body = b"" if told is None else json.dumps(told).encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def read_some(self):
        """Bytes of the body; none at its end."""
        read = self.rfile.read(min(self.left, 65536)) if self.left else b""
        if self.left and not read:
            raise ConnectionError
        self.left -= len(read)
        return read

    def skip_body(self):
        while self.read_some():
            pass

    def handle_any(self):
        self.left = int(self.headers.get("Content-Length") or 0)
        try:
            try:
                self.serve_request()
            except Refused as refused:
                self.skip_body()
                reason = refused.args[0]
                self.answer(*((reason, None) if isinstance(reason, int) else (400, {"message": reason})))
        except ConnectionError:
            self.close_connection = True
        except Exception as error:  # as the original does
            print(f"error: {error!r}", flush=True)
            self.close_connection = True
            self.answer(500)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_POST = handle_any

    def serve_request(self):
        path, _, query = self.path.partition("?")
        query = {name: values[0] for name, values in parse_qs(query).items()}
        bearer = (self.headers.get("Authorization") or " ").split(" ")[1]
        if path == f"/v1/{PROJECT}/auth/basic/token" and self.command == "POST":
            self.skip_body()
            if bearer != self.api_key or query.get("type") != "import" or self.state.is_told("deny"):
                raise Refused(401)
            with self.state.lock:
                return self.answer(201, {"token": token(self.state, self.api_key), "refresh_token": None})
        if query.get("chunk") == "2" and self.state.is_told_once("void"):
            self.state.generation += 1
        if not is_good(self.state, self.api_key, bearer):
            raise Refused(403)
        if path.startswith(f"/v1/{PROJECT}/files/resumables"):
            return self.resumables(unquote(path.partition("/resumables")[2].lstrip("/")), query.get("id", ""))
        if path.startswith(f"/v1/{PROJECT}/files/stream"):
            return self.stream(path, query)
        raise Refused(404)

    def resumables(self, name, upload):
        with self.state.lock:
            if self.command == "DELETE":
                self.state.remove_upload(name, upload)
                return self.answer(200, {"message": "resumable deleted"})
            if not name:
                return self.answer(200, {"resumables": self.state.list()})
            if upload not in self.state.uploads:
                raise Refused(404)
            info = self.state.info(upload)
        self.answer(200, info)

    def stream(self, path, query):
        resource = re.split(r"/stream(?:/|$)", path)[-1]
        if any(re.match(pattern, unquote_plus(resource)) for pattern in RESERVED):
            raise Refused(400)
        group, parts = query.get("group", GROUPS[0]), path.split("/")
        if group not in GROUPS or PROJECT not in group:
            raise Refused(403)
        if self.command in ("HEAD", "DELETE"):
            return self.look_or_remove(self.state.path(unquote_plus(resource)))
        name = unquote_plus(parts[-1])
        if unquote_plus(parts[5]) != name and parts[5] != group:
            raise Refused(403)
        if unquote_plus(parts[5]) == name:
            resource = f"{group}/{parts[-1]}"
        if self.state.is_told("full"):
            raise Refused(507)
        folder = os.path.normpath(self.state.path(os.path.dirname(resource)))
        os.makedirs(folder, exist_ok=True)
        key = os.path.dirname(resource).replace(group, "")[1:] or None
        if self.command == "PUT":
            final = self.take_whole(name)
            self.answer(201, {"message": "data streamed"})
        elif query["chunk"] == "end":
            self.skip_body()
            with self.state.lock:
                if query.get("id") not in self.state.uploads:
                    raise Refused(400)
                final = self.state.finalise(query["id"], name)
            self.answer(201, {"filename": os.path.basename(final), "id": query["id"], "max_chunk": "end", "key": key})
        elif self.command == "PATCH":
            return self.take_piece(name, int(query["chunk"]), query.get("id"), group, key)
        else:
            raise Refused(405)
        # As in another process: a request behind this one does not wait for it.
        threading.Thread(target=self.state.move, args=(final, folder, self.headers.get("Modified-Time"))).start()

    def look_or_remove(self, path):
        with self.state.lock:
            if not os.path.lexists(path):
                raise Refused(404)
            if self.command == "DELETE":
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
                return self.answer(200, {"message": "deleted"})
            found = os.stat(path)
        self.answer(200, None, [("Content-Length", str(found.st_size)), ("Modified-Time", str(found.st_mtime))])

    def take_whole(self, name):
        final = self.state.path(name)
        part = f"{final}.{uuid.uuid4()}.part"
        self.receive(part, False)
        os.rename(part, final)
        return final

    def take_piece(self, name, number, upload, group, key):
        with self.state.lock:
            upload = upload or str(uuid.uuid4())
            part = self.state.begin_piece(upload, number, name, group, key)
        if not self.receive(part, number == 2 and self.state.is_told_once("torn")):
            os.rename(part, self.state.path(upload, f"{name}.chunk.{number}"))
            raise Refused(500)
        with self.state.lock:
            self.state.end_piece(part, upload, number, name)
        self.answer(201, {"filename": name, "id": upload, "max_chunk": number, "key": key})

    def receive(self, part, torn):
        """Writes the body; whether there was room for it."""
        lies = self.left > 20_000 and self.state.is_told("lie")
        with open(part, "wb") as file:
            while read := self.read_some():
                if not torn or file.tell() < 1_000_000:
                    file.write(bytes([read[0] ^ 1]) + read[1:] if lies and file.tell() == 0 else read)
        return not torn


def serve(port, folder, api_key):
    Handler.state, Handler.api_key = Import(folder), api_key
    ThreadingHTTPServer.daemon_threads = True
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    if "TSD_TLS" in os.environ:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*os.environ["TSD_TLS"].split(":"))
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
