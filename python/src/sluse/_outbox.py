"""Putting something into an outbox of `sluse watch`: whole, durable, by one rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Iterator

from . import errors


@contextlib.contextmanager
def working(outbox: Path) -> Iterator[Path]:
    """The folder in which something is put together, by one process at a time. `sluse watch` does not look at it."""
    work = outbox / ".fetching"
    with open(outbox / ".fetching.lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.Temporary("something is being fetched into this outbox already") from None
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def put(work: Path, target: Path) -> None:
    """Lets what lies at `work`, a folder or a file that is durable, appear as `target`, durably."""
    for folder, _, _ in os.walk(work, topdown=False):
        _sync(folder)
    os.rename(work, target)
    _sync(target.parent)


def _sync(folder: "str | os.PathLike[str]") -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def remember(file: Path, text: str) -> None:
    """Replaces a small file, durably."""
    new = file.with_name(f"{file.name}.new")
    with open(new, "w", encoding="ascii") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    os.rename(new, file)
    _sync(file.parent)
