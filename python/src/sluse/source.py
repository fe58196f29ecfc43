"""What a source does: enrol, send, ask."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple, Union

from . import _program, errors

PathLike = Union[str, "os.PathLike[str]"]

#: How far `send` may follow a transfer.
WAITS = ("received", "released", "delivered")


@dataclass(frozen=True)
class Reason:
    """Why a transfer is held, rejected or lost, as the zone says."""

    #: Its stable code: docs/refusals.md.
    code: str
    message: str
    #: What to do.
    hint: str


@dataclass(frozen=True)
class Event:
    """One thing that happens while a dataset is sent: docs/source-host.md lists them."""

    time: datetime
    #: `planned`, `accepted`, `durable`, `sealing`, `receipt`, `state`, `retrying`, `clock`, `ended`.
    name: str
    #: The members that belong to it.
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Sent:
    """A transfer, and how far it got."""

    transfer: str
    dataset: str
    state: str
    files: int
    bytes: int
    #: Plain bytes that were sent by this call: none for what the zone had already.
    sent_bytes: int
    #: Verified receipts; the signature of each lies beside it, with `.sig` behind its name.
    receipts: Tuple[Path, ...]
    reason: Optional[Reason]


@dataclass(frozen=True)
class Transfer:
    """A transfer of this source, as the zone knows it or said last."""

    transfer: str
    agreement: str
    dataset: str
    state: str
    #: Since when it is in this state.
    since: datetime
    #: When the zone said so.
    learnt: datetime
    files: int
    folders: int
    bytes: int
    reason: Optional[Reason]
    receipts: Tuple[Path, ...] = field(default=())


@dataclass(frozen=True)
class Enrolled:
    """Who this host is now."""

    source: str
    zone: str
    identity: Path


def send(
    paths: Union[PathLike, Iterable[PathLike]],
    *,
    identity: PathLike,
    agreement: str,
    dataset: str,
    wait: str = "received",
    wait_timeout: float = 3600,
    give_up: float = 86400,
    again: bool = False,
    on_event: Optional[Callable[[Event], None]] = None,
) -> Sent:
    """Sends a dataset, or goes on with one, and follows it until `wait`: "received", "released" or "delivered".

    `paths` is one folder, whose contents are the dataset, or files and folders, each under its own name. The same unchanged files
    are the same transfer: they are sent once, however often this is called. `wait_timeout` is how long it is followed once the
    zone has it, `give_up` how long it is tried while nothing gets through, both in seconds. `again` sends an unchanged dataset as a
    new transfer when the one before has ended. What `on_event` raises ends the sending.

    Raises a subclass of `SluseError` unless the dataset got as far as was asked for.
    """
    if wait not in WAITS:
        raise ValueError(f"wait is one of {', '.join(WAITS)}")
    given = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    words = ["send", "--events", f"--identity={os.fspath(identity)}", f"--agreement={agreement}", f"--dataset={dataset}"]
    words += ["--wait", wait, *_program.seconds("--wait-timeout", wait_timeout), *_program.seconds("--give-up", give_up)]
    words += ["--again"] if again else []
    words += ["--", *(os.fspath(path) for path in given)]

    def heard(line: Dict[str, Any]) -> None:
        if on_event is not None:
            details = {name: value for name, value in line.items() if name not in ("time", "event")}
            on_event(Event(_time(line["time"]), line["event"], details))

    return _sent(_run(words, heard))


def status(identity: PathLike, *, offline: bool = False) -> List[Transfer]:
    """All transfers of this source, the latest first. Receipts that are not here yet are fetched and verified.

    With `offline` nobody is asked: it is what this host learnt last.
    """
    words = ["status", "--json", f"--identity={os.fspath(identity)}"]
    return [_transfer(one) for one in _run(words + (["--offline"] if offline else []))]


def transfer(identity: PathLike, transfer_id: str, *, offline: bool = False) -> Transfer:
    """One transfer of this source."""
    words = ["status", transfer_id, "--json", f"--identity={os.fspath(identity)}"]
    return _transfer(_run(words + (["--offline"] if offline else [])))


def enroll(invite: PathLike, identity: PathLike) -> Enrolled:
    """Turns an invite into the identity folder `identity`: its keys are made there."""
    made = _run(["enroll", "--json", f"--identity={os.fspath(identity)}", "--", os.fspath(invite)])
    return Enrolled(made["source"], made["zone"], Path(made["identity"]))


def verify_receipts(receipts: Iterable[PathLike], *, signer: PathLike) -> List[Dict[str, Any]]:
    """Checks receipts' signatures by `signer`, an `allowed_signers` file or a public key, and returns what they state.

    Raises `IntegrityError` when one of them is not good.
    """
    files = [os.fspath(receipt) for receipt in receipts]
    verified = _run(["receipt", "verify", "--json", f"--signer={os.fspath(signer)}", "--", *files])
    return [one["receipt"] for one in verified]


def _run(words: List[str], each_line: Optional[Callable[[Dict[str, Any]], None]] = None) -> Any:
    try:
        return _program.run(words, each_line)
    except _program.Ended as ended:
        last = ended.printed
        got_somewhere = each_line is not None and last is not None and last.get("event") == "ended"
        raise errors.of(ended.exit_code, ended.stderr, _sent(last) if got_somewhere else None) from None


def _sent(ended: Dict[str, Any]) -> Sent:
    return Sent(
        transfer=ended["transfer"],
        dataset=ended["dataset"],
        state=ended["state"],
        files=ended["files"],
        bytes=ended["bytes"],
        sent_bytes=ended["sent_bytes"],
        receipts=_paths(ended["receipts"]),
        reason=_reason(ended["reason"]),
    )


def _transfer(known: Dict[str, Any]) -> Transfer:
    return Transfer(
        transfer=known["transfer"],
        agreement=known["agreement"],
        dataset=known["dataset"],
        state=known["state"],
        since=_time(known["since"]),
        learnt=_time(known["learnt"]),
        files=known["files"],
        folders=known["folders"],
        bytes=known["bytes"],
        reason=_reason(known["reason"]),
        receipts=_paths(known["receipts"]),
    )


def _paths(names: Iterable[str]) -> Tuple[Path, ...]:
    return tuple(Path(name) for name in names)


def _reason(said: Optional[Dict[str, str]]) -> Optional[Reason]:
    return Reason(said["code"], said["message"], said["hint"]) if said else None


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
