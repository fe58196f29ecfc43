"""Running `sluse`."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any, Callable, Dict, List, Optional, Sequence

from . import errors

#: Names the program, where it is not the `sluse` that the shell would find.
PROGRAM = "SLUSE_PROGRAM"


def run(words: Sequence[str], each_line: Optional[Callable[[Any], None]] = None) -> Any:
    """Runs `sluse` with these words and returns the JSON that it prints.

    With `each_line` every line of standard output is an object of its own, and is given to it when it comes; the last one is
    returned. Raises the exception of the exit code.
    """
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(
                [os.environ.get(PROGRAM, "sluse"), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        except OSError as error:
            raise errors.Fault(
                f"sluse cannot be started: {error}", hints=[f"Install it, or let {PROGRAM} name the program."]
            ) from error
        with process:
            assert process.stdout is not None
            try:
                printed = _lines(process.stdout, each_line) if each_line else _whole(process.stdout)
                ended = process.wait()
            except BaseException:
                # Whoever listens does not want to go on. The zone keeps what it has: the same call goes on from there.
                process.terminate()
                raise
        stderr.seek(0)
        said = stderr.read().decode("utf-8", "replace")
    if ended != 0:
        raise Ended(ended, said, printed)
    return printed


class Ended(Exception):
    """A command that failed, with what it printed."""

    def __init__(self, exit_code: int, stderr: str, printed: Any):
        super().__init__(exit_code)
        self.exit_code = exit_code
        self.stderr = stderr
        self.printed = printed


def _whole(stdout: Any) -> Any:
    text = stdout.read()
    return json.loads(text) if text.strip() else None


def _lines(stdout: Any, each_line: Callable[[Any], None]) -> Any:
    last: Optional[Dict[str, Any]] = None
    for line in stdout:
        last = json.loads(line)
        each_line(last)
    return last


def seconds(name: str, value: float) -> List[str]:
    """An option that takes a time: whole seconds, rounded up."""
    return [name, f"{-int(-value // 1)}s"]
