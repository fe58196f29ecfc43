"""Fetches an export of a data capture system into an outbox, on a schedule: what did not change is not put there again.

    python3 -m sluse.edc redcap https://redcap.example.no/api/ --into /srv/extracts/edc --name study-7 --credential redcap-token
    python3 -m sluse.edc odm https://edc.example.no/studies/7/odm --into /srv/extracts/edc --name study-7 --credential edc-token

The profile says how the system is asked. `redcap` posts a form with the token in it, as REDCap's interface has it; `odm` gets a document
of CDISC ODM with a bearer token.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import urllib.parse
import xml.parsers.expat
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from . import _command, _http, _outbox, errors

PROFILES = ("redcap", "odm")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: What REDCap is asked for where nothing else is said.
_RECORDS = {"content": "record", "format": "csv", "type": "flat", "returnFormat": "json"}
#: Characters of the longest value of a table.
_LONGEST_VALUE = 1 << 24
#: Formats that can be told to be whole, and the end of their files' names.
_ENDS = {"csv": ".csv", "xml": ".xml", "odm": ".xml"}


@dataclass(frozen=True)
class Exported:
    """An export, or that there is none that is new."""

    #: Where it lies in the outbox; nothing when it is what was fetched last.
    file: Optional[str]
    bytes: int
    sha256: str


def export(
    profile: str,
    url: str,
    into: "str | os.PathLike[str]",
    *,
    name: str,
    token: str,
    fields: Optional[Mapping[str, str]] = None,
    patience: float = 600,
    max_bytes: int = 1 << 32,
    authority: Optional[str] = None,
    pause: float = 1.0,
) -> Exported:
    """Fetches an export as one file of the outbox `into`, called `name` and the time, unless it is what was fetched last.

    `fields` are REDCap's own, besides or instead of those that ask for all records as CSV; for `odm` they are the address's parameters.
    Raises a subclass of `SluseError`; what is cut off, or is another thing than was asked for, is an `IntegrityError`.
    """
    if profile not in PROFILES or not _NAME.fullmatch(name):
        raise errors.UsageError(f"a profile is one of {', '.join(PROFILES)}; a name has letters, digits, '_' and '-'")
    outbox = Path(into)
    asked = dict(_RECORDS, **(fields or {})) if profile == "redcap" else dict(fields or {})
    form = asked.get("format", "csv") if profile == "redcap" else "odm"
    if form not in _ENDS:
        raise errors.UsageError(f"the format is one of {', '.join(_ENDS)}")
    with _outbox.working(outbox) as work:
        file = work / f"{name}{_ENDS[form]}"
        fetched = _fetch(profile, url, token, asked, file, patience, max_bytes, authority, pause)
        _check(form, file)
        last = outbox / f".{name}.last"
        if last.exists() and last.read_text(encoding="ascii") == fetched.sha256:
            return Exported(None, fetched.bytes, fetched.sha256)
        target = outbox / f"{name}-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}{_ENDS[form]}"
        _outbox.put(file, target)
        # After it: what a crash leaves in between is put there once more, and not lost.
        _outbox.remember(last, fetched.sha256)
    return Exported(str(target), fetched.bytes, fetched.sha256)


def _fetch(
    profile: str,
    url: str,
    token: str,
    asked: Dict[str, str],
    file: Path,
    patience: float,
    max_bytes: int,
    authority: Optional[str],
    pause: float,
) -> _http.Fetched:
    if profile == "redcap":
        server = _http.Server(url, secret=None, patience=patience, authority=authority, pause=pause)
        form = urllib.parse.urlencode({**asked, "token": token}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return server.fetch(url, headers, file, at_most=max_bytes, data=form)
    server = _http.Server(url, secret=f"Bearer {token}", patience=patience, authority=authority, pause=pause)
    parts = urllib.parse.urlsplit(url)
    query = "&".join(filter(None, [parts.query, urllib.parse.urlencode(asked)]))
    return server.fetch(urllib.parse.urlunsplit(parts._replace(query=query)), {"Accept": "application/xml"}, file, at_most=max_bytes)


def _check(form: str, file: Path) -> None:
    """Whether a file is what was asked for, and whole, as far as its format tells."""
    try:
        _check_csv(file) if form == "csv" else _check_xml(file, "ODM" if form == "odm" else None)
    except (ValueError, csv.Error, xml.parsers.expat.ExpatError):
        # What is wrong with it in words may hold what stands in it.
        raise errors.IntegrityError(f"the export is not whole, or no {form}") from None


def _check_csv(file: Path) -> None:
    # Notes may be longer than what the module takes for one value.
    before = csv.field_size_limit(_LONGEST_VALUE)
    try:
        with open(file, encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text, strict=True)
            head = next(rows, [])
            if not any(head) or head[0].lstrip().startswith(("<", "{")):
                raise ValueError
            if any(row and len(row) != len(head) for row in rows):
                raise ValueError
    finally:
        csv.field_size_limit(before)


def _check_xml(file: Path, root: Optional[str]) -> None:
    parser = xml.parsers.expat.ParserCreate(namespace_separator=" ")
    names: list[str] = []

    def start(name: str, _: Any) -> None:
        if not names:
            names.append(name.rpartition(" ")[2])

    def refuse(*_: Any) -> None:
        raise ValueError

    parser.StartElementHandler = start
    # No export needs one, and it is how XML is made to grow.
    parser.StartDoctypeDeclHandler = refuse
    with open(file, "rb") as content:
        parser.ParseFile(content)
    if root is not None and names != [root]:
        raise ValueError


def main(words: Optional[Sequence[str]] = None) -> int:
    """The command line; it ends with the exit codes of `sluse`."""
    parser = argparse.ArgumentParser(prog="python3 -m sluse.edc", description="Fetches a data capture system's export into an outbox.")
    parser.add_argument("profile", choices=PROFILES)
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--into", required=True, metavar="DIR", help="the outbox")
    parser.add_argument("--name", required=True, help="what files are called, before their time")
    parser.add_argument("--credential", required=True, metavar="NAME", help="the token: a credential of the unit, or else a file")
    parser.add_argument("--field", action="append", default=[], metavar="NAME=VALUE", help="what else is asked for; may be repeated")
    parser.add_argument("--patience", type=float, default=600, metavar="SECONDS", help="how long all of it may take [600]")
    parser.add_argument("--authority", metavar="FILE", help="who signed the server's certificate (PEM), where this host does not know")
    given = parser.parse_args(words)

    def work() -> Any:
        pairs = [field.partition("=") for field in given.field]
        if not all(name and equals for name, equals, _ in pairs):
            raise errors.UsageError("a field is NAME=VALUE")
        exported = export(
            given.profile,
            given.url,
            given.into,
            name=given.name,
            token=_http.credential(given.credential),
            fields={name: value for name, _, value in pairs},
            patience=given.patience,
            authority=given.authority,
        )
        return asdict(exported)

    return _command.run(work)


if __name__ == "__main__":
    sys.exit(main())
