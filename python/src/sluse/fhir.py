"""Fetches a FHIR Bulk Data export into an outbox: kick-off, asking until it is done, every file, and its manifest.

    python3 -m sluse.fhir 'https://fhir.example.no/fhir/Group/kohort/$export' --into /srv/extracts/fhir --credential fhir-token

The export becomes one folder in the outbox, by one rename, when every file is whole and has as many resources as the manifest says.
Until then it is a name that begins with a dot, which `sluse watch` does not look at. A run that was killed leaves nothing else, and the
next one begins anew.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import urllib.parse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from . import _command, _http, _outbox, errors

_TYPE = re.compile(r"[A-Za-z]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^0-9TZ]")
#: The manifest's lists, and the folder of each in the dataset.
_LISTS = (("output", ""), ("deleted", "deleted"), ("error", "error"), ("outcome", "outcome"))
#: Files of the largest export.
_MAX_FILES = 100_000
#: Seconds between two questions, where the server does not say.
_POLL = 10.0


@dataclass(frozen=True)
class Exported:
    """An export in its outbox."""

    folder: str
    transaction_time: str
    files: int
    bytes: int
    resources: int
    #: Lists of what was deleted since, and of what the server could not export.
    deleted: int
    errors: int


def export(
    kick_off: str,
    into: "str | os.PathLike[str]",
    *,
    token: Optional[str] = None,
    patience: float = 6 * 3600,
    max_bytes: int = 1 << 40,
    authority: Optional[str] = None,
    poll: float = _POLL,
) -> Exported:
    """Fetches the export that `kick_off` starts into a new folder of `into`.

    `token` is sent as a bearer token, to the server of `kick_off` alone. All of it may take `patience` seconds. `authority` is a PEM
    file of who may have signed the server's certificate, where the host does not know. Raises a subclass of `SluseError`.
    """
    secret = None if token is None else f"Bearer {token}"
    server = _http.Server(kick_off, secret=secret, patience=patience, authority=authority, pause=min(1.0, poll))
    outbox = Path(into)
    with _outbox.working(outbox) as work:
        job = _start(server, kick_off)
        try:
            manifest = _wait(server, job, poll)
            exported = _fetch(server, manifest, work, max_bytes)
            exported = _place(work, outbox, manifest, exported)
        finally:
            # So that the server can clean up; one that does not know this may keep it.
            with contextlib.suppress(errors.SluseError):
                server.ask(job, {}, method="DELETE")
    return exported


def _start(server: _http.Server, kick_off: str) -> str:
    answer = server.ask(kick_off, {"Accept": "application/fhir+json", "Prefer": "respond-async"})
    place = answer.headers.get("Content-Location")
    if answer.status != 202 or place is None:
        raise errors.Refused(f"the server started no export: {answer.status}")
    return urllib.parse.urljoin(kick_off, place)


def _wait(server: _http.Server, job: str, poll: float) -> Dict[str, Any]:
    while True:
        answer = server.ask(job, {"Accept": "application/json"})
        if answer.status == 200:
            try:
                manifest = json.loads(answer.body)
            except ValueError:
                manifest = None
            if not isinstance(manifest, dict) or not isinstance(manifest.get("transactionTime"), str):
                raise errors.IntegrityError("the server's manifest is none")
            return manifest
        if answer.status != 202:
            raise errors.Refused(f"the server ended the export: {answer.status}")
        asked = _http.retry_after(answer.headers)
        server.wait(poll if asked is None else asked)


def _fetch(server: _http.Server, manifest: Dict[str, Any], work: Path, max_bytes: int) -> Dict[str, Dict[str, int]]:
    """Fetches every file, and lets the manifest name it as it is called here."""
    # Where files need no token, they may lie on another server.
    with_secret = manifest.get("requiresAccessToken") is not False
    totals: Dict[str, Dict[str, int]] = {}
    left = max_bytes
    for name, folder in _LISTS:
        entries = _entries(manifest, name)
        total = totals[name] = {"files": len(entries), "bytes": 0, "resources": 0}
        numbers: Dict[str, int] = {}
        for entry in entries:
            kind = entry["type"]
            number = numbers[kind] = numbers.get(kind, -1) + 1
            place = Path(folder, f"{kind}.{number:03}.ndjson")
            (work / folder).mkdir(exist_ok=True)
            url, entry["url"] = entry["url"], place.as_posix()
            headers = {"Accept": "application/fhir+ndjson"}
            fetched = server.fetch(url, headers, work / place, at_most=left, with_secret=with_secret)
            _check(place, entry, fetched)
            left -= fetched.bytes
            total["bytes"] += fetched.bytes
            total["resources"] += fetched.lines
    return totals


def _entries(manifest: Dict[str, Any], name: str) -> List[Dict[str, Any]]:
    entries = manifest.get(name) or []
    if not isinstance(entries, list) or len(entries) > _MAX_FILES:
        raise errors.IntegrityError(f"the manifest's list {name} is none")
    for entry in entries:
        good = isinstance(entry, dict) and isinstance(entry.get("url"), str)
        if good and name in ("error", "outcome", "deleted"):
            entry.setdefault("type", "Bundle" if name == "deleted" else "OperationOutcome")
        if not good or not isinstance(entry.get("type"), str) or not _TYPE.fullmatch(entry["type"]):
            raise errors.IntegrityError(f"the manifest's list {name} has an entry without type or url")
    return entries


def _check(place: Path, entry: Dict[str, Any], fetched: _http.Fetched) -> None:
    """Whether a file is whole: as many resources as announced, the last of them too."""
    count = entry.get("count")
    if isinstance(count, int) and count != fetched.lines:
        raise errors.IntegrityError(f"{place} has {fetched.lines} resources, and the manifest says {count}")
    if fetched.lines == 0:
        return
    try:
        last = json.loads(fetched.last_line)
    except ValueError:
        raise errors.IntegrityError(f"the last resource of {place} is not whole") from None
    if not isinstance(last, dict) or last.get("resourceType") != entry["type"]:
        raise errors.IntegrityError(f"{place} has other resources than {entry['type']}")


def _place(work: Path, outbox: Path, manifest: Dict[str, Any], totals: Dict[str, Dict[str, int]]) -> Exported:
    """Makes all of it durable, and visible by one rename."""
    with open(work / "manifest.json", "w", encoding="utf-8") as file:
        json.dump(manifest, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    time = manifest["transactionTime"]
    target = outbox / f"export-{_NOT_IN_NAMES.sub('', time)[:40]}"
    if target.exists():
        raise errors.Refused("this export is in the outbox already", hints=["It is sent from there."])
    _outbox.put(work, target)
    sums = {name: sum(total[name] for total in totals.values()) for name in ("files", "bytes")}
    return Exported(
        folder=str(target),
        transaction_time=time,
        files=sums["files"],
        bytes=sums["bytes"],
        resources=totals["output"]["resources"],
        deleted=totals["deleted"]["resources"],
        errors=totals["error"]["resources"] + totals["outcome"]["resources"],
    )


def main(words: Optional[Sequence[str]] = None) -> int:
    """The command line; it ends with the exit codes of `sluse`."""
    parser = argparse.ArgumentParser(prog="python3 -m sluse.fhir", description="Fetches a FHIR Bulk Data export into an outbox.")
    parser.add_argument("kick_off", metavar="URL", help="what starts the export, with its parameters: …/Group/ID/$export?_type=…")
    parser.add_argument("--into", required=True, metavar="DIR", help="the outbox")
    parser.add_argument("--credential", metavar="NAME", help="the bearer token: a credential of the unit, or else a file")
    parser.add_argument("--patience", type=float, default=6 * 3600, metavar="SECONDS", help="how long all of it may take [21600]")
    parser.add_argument("--max-bytes", type=int, default=1 << 40, metavar="N", help="how large it may be [1 TiB]")
    parser.add_argument("--authority", metavar="FILE", help="who signed the server's certificate (PEM), where this host does not know")
    given = parser.parse_args(words)
    return _command.run(
        lambda: asdict(
            export(
                given.kick_off,
                given.into,
                token=_http.credential(given.credential) if given.credential else None,
                patience=given.patience,
                max_bytes=given.max_bytes,
                authority=given.authority,
            )
        )
    )


if __name__ == "__main__":
    sys.exit(main())
