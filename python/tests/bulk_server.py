"""A small FHIR server that exports the sample files of this repository, and fails as it is told to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

FIXTURES = Path(__file__).resolve().parents[2] / "cli/fixtures"
TOKEN = "Bearer of-good-news"


class BulkServer:
    """`faults` has, for a path, the answers that are given before the good one: a status, or `"cut"` for half a file."""

    def __init__(self) -> None:
        self.faults: Dict[str, List[Any]] = {}
        #: Method and path of every request.
        self.asked: List[Tuple[str, str]] = []
        self.deleted = False
        files = {name: (FIXTURES / name).read_bytes() for name in ("Patient.000.ndjson", "Observation.000.ndjson")}
        self.files = {f"/files/{name}": content for name, content in files.items()}
        gone = {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": {"method": "DELETE", "url": "Patient/9"}}]}
        wrong = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
        self.files["/files/gone"] = json.dumps(gone).encode()
        self.files["/files/wrong"] = json.dumps(wrong).encode() + b"\n"
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.manifest: Dict[str, Any] = {
            "transactionTime": "2026-11-22T01:00:00Z",
            "request": f"{self.url}/fhir/Group/1/$export",
            "requiresAccessToken": True,
            "output": [self.entry("Patient", "Patient.000.ndjson"), self.entry("Observation", "Observation.000.ndjson")],
            "deleted": [{"type": "Bundle", "url": f"{self.url}/files/gone"}],
            "error": [{"type": "OperationOutcome", "url": f"{self.url}/files/wrong"}],
        }
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def entry(self, kind: str, name: str) -> Dict[str, Any]:
        return {"type": kind, "url": f"{self.url}/files/{name}", "count": self.files[f"/files/{name}"].count(b"\n")}

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_DELETE(self) -> None:
                outer.asked.append(("DELETE", self.path))
                outer.deleted = True
                self.answer(202)

            def do_GET(self) -> None:
                outer.asked.append(("GET", self.path))
                if self.headers.get("Authorization") != TOKEN:
                    return self.answer(401)
                faults = outer.faults.get(self.path, [])
                fault = faults.pop(0) if faults else None
                if isinstance(fault, int):
                    return self.answer(fault, headers={"Retry-After": "0", "Location": "/elsewhere"})
                if self.path.endswith("$export"):
                    asynchronous = self.headers.get("Prefer") == "respond-async"
                    return self.answer(202 if asynchronous else 400, headers={"Content-Location": f"{outer.url}/jobs/7"})
                if self.path == "/jobs/7":
                    return self.answer(200, json.dumps(outer.manifest).encode())
                if self.path in outer.files:
                    return self.answer(200, outer.files[self.path], cut=fault == "cut")
                self.answer(404)

            def answer(self, status: int, body: bytes = b"", headers: "Dict[str, str] | None" = None, cut: bool = False) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if cut else body)
                self.close_connection = True

        return Handler
