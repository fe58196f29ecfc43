"""What can go wrong: one exception for each exit code of `sluse`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, Dict, FrozenSet, List, Optional, Sequence, Tuple, Type

if TYPE_CHECKING:
    from .source import Sent

#: Every code of a refusal: docs/refusals.md says what each means.
CODES: FrozenSet[str] = frozenset([
    # fmt: off
    "protocol-version", "protocol-violation", "too-large", "unavailable", "busy", "taken-over", "internal",
    "unknown-certificate", "revoked-source", "certificate-expired", "enrolment-only", "invite-expired", "invite-used",
    "bad-proof", "unknown-agreement", "agreement-draft", "agreement-inactive", "agreement-suspended",
    "agreement-not-yet-valid", "agreement-expired", "forbidden-room", "dataset-too-large", "too-many-files",
    "quota-exceeded", "forbidden-path", "windows-path", "path-collision", "empty-dataset", "no-space",
    "unknown-transfer", "wrong-state", "key-reused", "bad-document", "bad-chunk", "chunk-conflict", "missing-chunks",
    "digest-mismatch", "no-identity", "rejected", "held", "cancelled", "expired", "not-acknowledged", "forbidden",
    "unknown-name", "name-taken", "invalid", "outside-hours", "update-unsigned", "update-older", "update-malformed",
    "update-too-large", "update-no-place", "update-failed", "sync-not-allowed", "deletions-not-allowed", "unknown-base",
    # fmt: on
])

# A refusal's code stands in parentheses at the end of its sentence.
_CODE = re.compile(r"\(([a-z]+(?:-[a-z]+)*)\)$")


class SluseError(Exception):
    """`sluse` did not do what it was asked. Each subclass is one of its exit codes."""

    #: The exit code that this class stands for; 70 stands for every other one too.
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, causes: Sequence[str] = (), hints: Sequence[str] = (), sent: Optional[Sent] = None):
        super().__init__(message)
        #: One sentence.
        self.message = message
        #: What is behind it, outermost first.
        self.causes: Tuple[str, ...] = tuple(causes)
        #: What to do about it.
        self.hints: Tuple[str, ...] = tuple(hints)
        #: The transfer, where there is one: how far it got, and its receipts.
        self.sent = sent

    @property
    def code(self) -> Optional[str]:
        """The zone's stable code (docs/refusals.md), where the zone refused or decided."""
        if self.sent is not None and self.sent.reason is not None:
            return self.sent.reason.code
        found = (_CODE.search(line) for line in (self.message, *self.causes))
        return next((match.group(1) for match in found if match and match.group(1) in CODES), None)

    def __str__(self) -> str:
        return "\n".join([self.message, *self.causes, *self.hints])


class UsageError(SluseError):
    """The arguments are wrong."""

    exit_code = 2


class ConfigurationError(SluseError):
    """The identity folder is wrong."""

    exit_code = 3


class Refused(SluseError):
    """Refused by policy, agreement or trust; or the transfer was cancelled, or expired."""

    exit_code = 4


class IntegrityError(SluseError):
    """Files changed while they were sent, or digests or signatures do not agree."""

    exit_code = 5


class Temporary(SluseError):
    """Nothing got through for as long as it was tried: try again. What the zone has already is not sent again."""

    exit_code = 6


class Rejected(SluseError):
    """The inspection or a reviewer keeps the dataset out."""

    exit_code = 7


class Held(SluseError):
    """A person must decide, and nobody did for as long as it was waited for."""

    exit_code = 8


class Fault(SluseError):
    """`sluse` or this host failed: disk, memory, permissions, or there is no `sluse`."""


_BY_EXIT: Dict[int, Type[SluseError]] = {
    error.exit_code: error
    for error in (UsageError, ConfigurationError, Refused, IntegrityError, Temporary, Rejected, Held)
}


def of(exit_code: int, stderr: str, sent: Optional[Sent] = None) -> SluseError:
    """The exception for a command that ended so, with what it said on standard error."""
    said: Dict[str, List[str]] = {"Error": [], "Caused by": [], "Hint": []}
    for line in stderr.splitlines():
        label, separator, text = line.partition(": ")
        if separator and label in said:
            said[label].append(text)
    # A wrong command line is explained in other words.
    message = said["Error"][0] if said["Error"] else stderr.strip() or f"sluse ended with {exit_code}"
    return _BY_EXIT.get(exit_code, Fault)(message, said["Caused by"], said["Hint"], sent)
