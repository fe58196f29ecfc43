"""The package against a sandbox of the real binaries. `SLUSE_BIN` names the folder in which they lie."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar, Dict, List

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "src"))

import sluse  # noqa: E402
from sluse.errors import CODES  # noqa: E402

EXCEPTIONS = {
    2: sluse.UsageError,
    3: sluse.ConfigurationError,
    4: sluse.Refused,
    5: sluse.IntegrityError,
    6: sluse.Temporary,
    7: sluse.Rejected,
    8: sluse.Held,
}


class Sandbox(unittest.TestCase):
    """One sandbox for all tests."""

    made: ClassVar[Dict[str, Any]]
    process: ClassVar["subprocess.Popen[bytes]"]

    @classmethod
    def setUpClass(cls) -> None:
        program = os.path.join(os.environ["SLUSE_BIN"], "sluse")
        os.environ["SLUSE_PROGRAM"] = program
        cls.process = subprocess.Popen([program, "sandbox", "--json"], stdout=subprocess.PIPE)
        cls.addClassCleanup(cls.stop)
        text = b""
        assert cls.process.stdout is not None
        # One object of many lines, the last of which is its closing brace.
        for line in cls.process.stdout:
            text += line
            if line == b"}\n":
                break
        cls.made = json.loads(text)
        cls.identity = cls.made["identity"]
        cls.samples = Path(cls.made["samples"])

    @classmethod
    def stop(cls) -> None:
        cls.process.send_signal(signal.SIGTERM)
        ended = cls.process.wait(60)
        assert cls.process.stdout is not None
        cls.process.stdout.close()
        assert ended == 0, ended

    def send(self, agreement: str, dataset: str, sample: str = "plain", **more: Any) -> sluse.Sent:
        return sluse.send(
            self.samples / sample, identity=self.identity, agreement=agreement, dataset=dataset, **more
        )

    def test_a_dataset_is_delivered_once_and_its_events_and_receipts_tell_of_it(self) -> None:
        events: List[sluse.Event] = []
        sent = self.send("sandbox", "once", wait="delivered", on_event=events.append)
        self.assertEqual((sent.state, sent.dataset, sent.files, sent.reason), ("delivered", "once", 1, None))
        self.assertEqual(sent.bytes, (self.samples / "plain/results.csv").stat().st_size)
        self.assertEqual(sent.sent_bytes, sent.bytes)
        names = [event.name for event in events]
        self.assertEqual((names[0], names[-1]), ("planned", "ended"))
        self.assertIn("receipt", names)
        stated = sluse.verify_receipts(sent.receipts, signer=self.made["signer"])
        self.assertEqual({one["kind"] for one in stated}, {"received", "released", "delivered"})
        self.assertEqual({one["zone"] for one in stated}, {"sandbox"})
        again = self.send("sandbox", "once", wait="delivered")
        self.assertEqual((again.transfer, again.sent_bytes), (sent.transfer, 0))

    def test_what_the_zone_and_this_host_know_of_a_transfer_is_the_same(self) -> None:
        sent = self.send("sandbox", "known", wait="delivered")
        known = sluse.transfer(self.identity, sent.transfer)
        self.assertEqual((known.state, known.agreement, known.dataset), ("delivered", "sandbox", "known"))
        self.assertEqual(set(known.receipts), set(sent.receipts))
        offline = sluse.transfer(self.identity, sent.transfer, offline=True)
        self.assertEqual((offline.state, offline.since), (known.state, known.since))
        self.assertIn(known.transfer, [one.transfer for one in sluse.status(self.identity)])
        self.assertIn(known.transfer, [one.transfer for one in sluse.status(self.identity, offline=True)])

    def test_each_refusal_is_the_exception_of_its_exit_code_with_its_code_and_a_hint(self) -> None:
        for answer in self.made["answers"]:
            code, words = answer["code"], answer["command"]
            # What is waited for has a test of its own.
            if words[0] != "send" or code in (None, "held", "rejected", "cancelled", "expired"):
                continue
            given = dict(zip(words[2::2], words[3::2]))
            with self.subTest(code):
                with self.assertRaises(EXCEPTIONS[answer["exit"]]) as caught:
                    sluse.send(
                        words[1],
                        identity=given["--identity"],
                        agreement=given["--agreement"],
                        dataset=given["--dataset"],
                        give_up=1,
                    )
                # A sender whose files have changed offers them anew by itself.
                if code != "chunk-conflict":
                    self.assertEqual(caught.exception.code, code)
                    self.assertTrue(caught.exception.hints)

    def test_a_rejected_dataset_has_a_receipt_of_that(self) -> None:
        with self.assertRaises(sluse.Rejected) as caught:
            self.send("sandbox", "infected", "malware", wait="delivered")
        error = caught.exception
        self.assertEqual((error.code, error.sent.state), ("rejected", "rejected"))
        self.assertIn("rejected.json", [receipt.name for receipt in error.sent.receipts])

    def test_what_is_away_for_a_while_is_tried_again(self) -> None:
        events: List[sluse.Event] = []
        sent = self.send("sandbox", "temporary", on_event=events.append)
        self.assertEqual(len([event for event in events if event.name == "retrying"]), 2)
        self.assertTrue(sent.receipts)

    def test_who_listens_can_end_it_and_the_same_call_goes_on(self) -> None:
        class Enough(Exception):
            pass

        def stop(event: sluse.Event) -> None:
            raise Enough

        with self.assertRaises(Enough):
            self.send("sandbox", "stopped", on_event=stop)
        self.assertEqual(self.send("sandbox", "stopped", wait="delivered").state, "delivered")

    def test_an_invite_is_good_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            enrolled = sluse.enroll(self.made["invite"], Path(folder, "identity"))
            self.assertEqual((enrolled.source, enrolled.zone), ("newcomer", "sandbox"))
            sent = sluse.send(
                self.samples / "plain", identity=enrolled.identity, agreement="newcomer", dataset="first", wait="delivered"
            )
            self.assertEqual(sent.state, "delivered")
            with self.assertRaises(sluse.Refused) as caught:
                sluse.enroll(self.made["invite"], Path(folder, "another"))
            self.assertEqual(caught.exception.code, "invite-used")

    def test_names_that_look_like_options_are_names(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(self.samples / "plain/results.csv", Path(folder, "-x.csv"))
            before = os.getcwd()
            os.chdir(folder)
            self.addCleanup(os.chdir, before)
            self.assertEqual(sluse.send(["-x.csv"], identity=self.identity, agreement="sandbox", dataset="-x").files, 1)

    def test_a_forged_receipt_is_no_receipt(self) -> None:
        sent = self.send("sandbox", "forged", wait="delivered")
        with tempfile.TemporaryDirectory() as folder:
            forged = Path(folder, "received.json")
            forged.write_bytes(sent.receipts[0].read_bytes().replace(b"forged", b"better"))
            shutil.copy(f"{sent.receipts[0]}.sig", f"{forged}.sig")
            with self.assertRaises(sluse.IntegrityError):
                sluse.verify_receipts([forged], signer=self.made["signer"])


class Errors(unittest.TestCase):
    """What needs no zone."""

    def test_the_codes_are_those_of_the_documents(self) -> None:
        documented = (HERE.parents[1] / "docs/refusals.md").read_text()
        self.assertEqual(CODES, set(re.findall(r"^\| `([a-z-]+)` \| \d+ \|", documented, re.MULTILINE)))

    def test_what_merely_looks_like_a_code_is_none(self) -> None:
        self.assertIsNone(sluse.SluseError("cannot read /data/extract (copy)").code)
        self.assertEqual(sluse.SluseError("gave up", ["the disk is full (no-space)"]).code, "no-space")

    def test_a_program_that_is_not_there_is_a_fault_with_a_hint(self) -> None:
        before = os.environ.get("SLUSE_PROGRAM")
        os.environ["SLUSE_PROGRAM"] = "/nowhere/sluse"
        try:
            with self.assertRaises(sluse.Fault) as caught:
                sluse.status("/nowhere")
        finally:
            os.environ.pop("SLUSE_PROGRAM") if before is None else os.environ.update(SLUSE_PROGRAM=before)
        self.assertTrue(caught.exception.hints)

    def test_a_wait_that_there_is_not_is_an_error_before_anything_runs(self) -> None:
        with self.assertRaises(ValueError):
            sluse.send("x", identity="y", agreement="z", dataset="d", wait="eternally")


if __name__ == "__main__":
    unittest.main()
