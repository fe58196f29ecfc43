"""Fetching an export, against a small server: no landing zone is needed."""

import contextlib
import io
import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]

import sluse  # noqa: E402
from bulk_server import TOKEN, BulkServer  # noqa: E402
from sluse import fhir  # noqa: E402


class Export(unittest.TestCase):
    def setUp(self) -> None:
        self.server = BulkServer()
        self.addCleanup(self.server.close)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.outbox = Path(folder.name)

    def export(self, **more: Any) -> fhir.Exported:
        given: Any = {"token": TOKEN.partition(" ")[2], "poll": 0.01, "patience": 30, **more}
        return fhir.export(f"{self.server.url}/fhir/Group/1/$export", self.outbox, **given)

    def assert_nothing_left(self) -> None:
        self.assertEqual([name for name in os.listdir(self.outbox) if name != ".fetching.lock"], [])

    def test_an_export_is_one_folder_with_every_file_and_its_manifest(self) -> None:
        made = self.export()
        folder = Path(made.folder)
        self.assertEqual((folder.parent, folder.name), (self.outbox, "export-20261122T010000Z"))
        found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        lists = ["deleted/Bundle.000.ndjson", "error/OperationOutcome.000.ndjson"]
        self.assertEqual(found, sorted(["Observation.000.ndjson", "Patient.000.ndjson", "manifest.json", *lists]))
        for name in ("Patient.000.ndjson", "Observation.000.ndjson"):
            self.assertEqual((folder / name).read_bytes(), self.server.files[f"/files/{name}"])
        manifest = json.loads((folder / "manifest.json").read_text())
        self.assertEqual(manifest["output"][0]["url"], "Patient.000.ndjson")
        self.assertEqual(manifest["transactionTime"], "2026-11-22T01:00:00Z")
        self.assertEqual((made.files, made.deleted, made.errors), (4, 1, 1))
        self.assertEqual(made.resources, sum(entry["count"] for entry in self.server.manifest["output"]))
        self.assertTrue(self.server.deleted, "the server may clean up")
        self.assertEqual(sorted(os.listdir(self.outbox)), [".fetching.lock", "export-20261122T010000Z"])

    def test_a_server_that_is_busy_slow_or_breaks_off_is_asked_again(self) -> None:
        self.server.faults = {
            "/fhir/Group/1/$export": [503],
            "/jobs/7": [202, 429, 202],
            "/files/Patient.000.ndjson": ["cut", 502],
        }
        made = self.export()
        self.assertEqual((Path(made.folder) / "Patient.000.ndjson").read_bytes(), self.server.files["/files/Patient.000.ndjson"])
        self.assertEqual(self.server.asked.count(("GET", "/jobs/7")), 4)
        self.assertEqual(self.server.asked.count(("GET", "/files/Patient.000.ndjson")), 3)

    def test_fewer_resources_than_the_manifest_says_are_not_an_export(self) -> None:
        self.server.manifest["output"][0]["count"] += 1
        with self.assertRaises(sluse.IntegrityError):
            self.export()
        self.assert_nothing_left()
        self.assertTrue(self.server.deleted)

    def test_a_last_resource_that_is_cut_off_or_of_another_type_is_found(self) -> None:
        path = "/files/Patient.000.ndjson"
        good = self.server.files[path]
        del self.server.manifest["output"][0]["count"]
        for wrong in (good[:-20], good + b'{"resourceType": "Device"}\n'):
            self.server.files[path] = wrong
            with self.assertRaises(sluse.IntegrityError):
                self.export()
            self.assert_nothing_left()

    def test_a_server_that_is_never_done_is_temporary(self) -> None:
        self.server.faults = {"/jobs/7": [202] * 1000}
        with self.assertRaises(sluse.Temporary):
            self.export(patience=0.2)
        self.assert_nothing_left()

    def test_a_wrong_token_is_refused_at_once_and_nothing_is_repeated(self) -> None:
        with self.assertRaises(sluse.Refused) as caught:
            self.export(token="wrong")
        self.assertIn("401", caught.exception.message)
        self.assertEqual(len(self.server.asked), 1)

    def test_no_redirect_is_followed(self) -> None:
        self.server.faults = {"/files/Patient.000.ndjson": [302]}
        with self.assertRaises(sluse.Refused):
            self.export()
        self.assertNotIn(("GET", "/elsewhere"), self.server.asked)

    def test_another_server_is_never_told_the_token(self) -> None:
        other = BulkServer()
        self.addCleanup(other.close)
        self.server.manifest["output"][0]["url"] = f"{other.url}/files/Patient.000.ndjson"
        with self.assertRaises(sluse.Refused):
            self.export()
        self.assertEqual(other.asked, [])

    def test_names_of_files_are_ours_and_not_the_servers(self) -> None:
        self.server.manifest["output"][0]["type"] = "../../Patient"
        with self.assertRaises(sluse.IntegrityError):
            self.export()
        self.assert_nothing_left()

    def test_what_is_too_large_is_not_fetched_to_its_end(self) -> None:
        with self.assertRaises(sluse.Refused):
            self.export(max_bytes=100)
        self.assert_nothing_left()

    def test_what_a_killed_run_left_is_cleared_away(self) -> None:
        (self.outbox / ".fetching").mkdir()
        (self.outbox / ".fetching/Patient.000.ndjson").write_text("half")
        self.export()
        self.assertFalse((self.outbox / ".fetching").exists())

    def test_the_same_export_is_not_put_there_twice(self) -> None:
        self.export()
        with self.assertRaises(sluse.Refused):
            self.export()

    def test_nothing_is_asked_in_the_clear_beyond_this_host(self) -> None:
        with self.assertRaises(sluse.ConfigurationError):
            fhir.export("http://fhir.example.org/$export", self.outbox)

    def test_the_command_takes_its_token_from_the_credentials_and_ends_as_sluse_does(self) -> None:
        with tempfile.TemporaryDirectory() as credentials:
            Path(credentials, "fhir-token").write_text(TOKEN.partition(" ")[2] + "\n")
            os.environ["CREDENTIALS_DIRECTORY"] = credentials
            self.addCleanup(os.environ.pop, "CREDENTIALS_DIRECTORY")
            words = [f"{self.server.url}/fhir/Group/1/$export", "--into", str(self.outbox), "--patience", "30", "--credential"]
            said, complained = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
                self.assertEqual(fhir.main([*words, "fhir-token"]), 0)
                self.assertEqual(fhir.main([*words, "fhir-token"]), 4)
                self.assertEqual(fhir.main([*words, "other"]), 3)
            self.assertEqual(json.loads(said.getvalue())["files"], 4)
            self.assertIn("LoadCredentialEncrypted", complained.getvalue())


if __name__ == "__main__":
    unittest.main()
