"""Sends datasets to a Sluse landing zone, and asks what became of them.

This is a thin layer around the command line `sluse`, which must be installed: it runs the command, reads the JSON that it
prints, and raises its exit codes as exceptions. Nothing but the standard library is needed.

    import sluse

    sent = sluse.send("extract/", identity="/etc/sluse/identity", agreement="hjerte-epic", dataset="nightly")
    print(sent.transfer, sent.state, sent.receipts)
"""

from .errors import (
    ConfigurationError,
    Fault,
    Held,
    IntegrityError,
    Refused,
    Rejected,
    SluseError,
    Temporary,
    UsageError,
)
from .source import Enrolled, Event, Reason, Sent, Transfer, enroll, send, status, transfer, verify_receipts

__all__ = [
    "ConfigurationError",
    "Enrolled",
    "Event",
    "Fault",
    "Held",
    "IntegrityError",
    "Reason",
    "Refused",
    "Rejected",
    "Sent",
    "SluseError",
    "Temporary",
    "Transfer",
    "UsageError",
    "enroll",
    "send",
    "status",
    "transfer",
    "verify_receipts",
]
