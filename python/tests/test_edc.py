"""Fetching from data capture systems, against a small server: no landing zone is needed."""

import contextlib
import io
import json
import os
import sys
import tempfile
import threading
import unittest
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, List

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

import sluse  # noqa: E402
from sluse import edc  # noqa: E402

TOKEN = "0123456789ABCDEF"
CSV = b'record_id,visit,note\n1,1,"said ""well"",\nand left"\n2,1,\n'
ODM = b"""<?xml version="1.0" encoding="UTF-8"?>
<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" FileOID="f1" FileType="Snapshot" ODMVersion="1.3">
<ClinicalData StudyOID="s7" MetaDataVersionOID="1"><SubjectData SubjectKey="NO001-001"/></ClinicalData></ODM>
"""


class Export(unittest.TestCase):
    def setUp(self) -> None:
        self.answers: Dict[str, bytes] = {"/api/": CSV, "/odm": ODM}
        #: Statuses that are answered before the good one.
        self.faults: List[int] = []
        self.asked: List[Dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.serve(text, lambda form: form.get("token") == TOKEN)

            def do_GET(self) -> None:
                _, _, query = self.path.partition("?")
                self.serve(query, lambda _: self.headers.get("Authorization") == f"Bearer {TOKEN}")

            def serve(self, text: str, may: Any) -> None:
                form = dict(urllib.parse.parse_qsl(text))
                outer.asked.append(form)
                fault = outer.faults.pop(0) if outer.faults else None
                body = outer.answers[self.path.partition("?")[0]]
                self.send_response(fault or (200 if may(form) else 403))
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.outbox = Path(folder.name)

    def redcap(self, **more: Any) -> edc.Exported:
        given: Any = {"name": "study-7", "token": TOKEN, "patience": 30, "pause": 0.01, **more}
        return edc.export("redcap", f"{self.url}/api/", self.outbox, **given)

    def odm(self, **more: Any) -> edc.Exported:
        given: Any = {"name": "study-7", "token": TOKEN, "patience": 30, "pause": 0.01, **more}
        return edc.export("odm", f"{self.url}/odm?study=7", self.outbox, **given)

    def put(self) -> List[str]:
        return sorted(name for name in os.listdir(self.outbox) if not name.startswith("."))

    def test_records_of_redcap_are_one_file_and_its_token_stands_in_the_form(self) -> None:
        made = self.redcap()
        assert made.file is not None
        self.assertEqual(Path(made.file).read_bytes(), CSV)
        self.assertRegex(Path(made.file).name, r"^study-7-\d{8}T\d+Z\.csv$")
        self.assertEqual(self.asked, [{"content": "record", "format": "csv", "type": "flat", "returnFormat": "json", "token": TOKEN}])

    def test_fields_say_what_else_is_asked_for(self) -> None:
        self.answers["/api/"] = ODM
        made = self.redcap(fields={"format": "odm", "exportSurveyFields": "true"})
        assert made.file is not None
        self.assertTrue(made.file.endswith(".xml"))
        self.assertEqual((self.asked[0]["format"], self.asked[0]["exportSurveyFields"]), ("odm", "true"))

    def test_a_document_of_odm_is_fetched_with_a_bearer_token(self) -> None:
        made = self.odm(fields={"include": "audit"})
        assert made.file is not None
        self.assertEqual(Path(made.file).read_bytes(), ODM)
        self.assertEqual(self.asked, [{"study": "7", "include": "audit"}])

    def test_what_did_not_change_is_not_put_there_again_and_what_did_is(self) -> None:
        self.assertIsNotNone(self.redcap().file)
        self.assertIsNone(self.redcap().file)
        self.assertEqual(len(self.put()), 1)
        self.answers["/api/"] = CSV + b"3,1,\n"
        self.assertIsNotNone(self.redcap().file)
        self.assertEqual(len(self.put()), 2)

    def test_what_a_crash_left_unremembered_is_put_there_again_and_not_lost(self) -> None:
        self.redcap()
        (self.outbox / ".study-7.last").unlink()
        self.redcap()
        self.assertEqual(len(self.put()), 2)

    def test_what_is_cut_off_or_something_else_is_no_export(self) -> None:
        for body in (b"", b"<html>Log in</html>\n", b'{"error":"no"}', CSV[:30], CSV[:-3], b"\xff\xfe,x\n1,2\n"):
            self.answers["/api/"] = body
            with self.subTest(body), self.assertRaises(sluse.IntegrityError):
                self.redcap()
        doctype = ODM.replace(b"<ODM ", b'<!DOCTYPE ODM [<!ENTITY a "b">]><ODM ')
        for body in (b"", ODM[:-10], b"<html/>", doctype, CSV):
            self.answers["/odm"] = body
            with self.subTest(body), self.assertRaises(sluse.IntegrityError):
                self.odm()
        self.assertEqual(self.put(), [])

    def test_a_long_note_is_no_damage(self) -> None:
        self.answers["/api/"] = b"record_id,note\n1," + b"x" * 300_000 + b"\n"
        self.assertIsNotNone(self.redcap().file)

    def test_a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not(self) -> None:
        self.faults = [503, 429]
        self.assertIsNotNone(self.redcap().file)
        self.assertEqual(len(self.asked), 3)
        for fetch in (self.redcap, self.odm):
            self.asked.clear()
            with self.assertRaises(sluse.Refused):
                fetch(token="wrong")
            self.assertEqual(len(self.asked), 1)

    def test_names_cannot_leave_the_outbox(self) -> None:
        for name in ("../x", ".hidden", "", "a/b"):
            with self.assertRaises(sluse.UsageError):
                self.redcap(name=name)

    def test_the_command_takes_its_token_from_the_credentials(self) -> None:
        with tempfile.TemporaryDirectory() as credentials:
            Path(credentials, "redcap-token").write_text(f"{TOKEN}\n")
            os.environ["CREDENTIALS_DIRECTORY"] = credentials
            self.addCleanup(os.environ.pop, "CREDENTIALS_DIRECTORY")
            words = ["redcap", f"{self.url}/api/", "--into", str(self.outbox), "--name", "study-7", "--field", "type=eav"]
            said, complained = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
                self.assertEqual(edc.main([*words, "--credential", "redcap-token"]), 0)
                self.assertEqual(edc.main([*words, "--credential", "other"]), 3)
            self.assertEqual(json.loads(said.getvalue())["bytes"], len(CSV))
            self.assertEqual(self.asked[0]["type"], "eav")
            self.assertNotIn(TOKEN, complained.getvalue())


if __name__ == "__main__":
    unittest.main()
