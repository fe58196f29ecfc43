#!/usr/bin/env python3
"""Attempts what a role must not do, and what it must, in the place of that role: started by its unit, with all that the unit
forbids, as its user; not confined from inside, so that what is denied here the unit denies alone.

Usage: probe.py ROLE|root     `root` is whoever runs it outside of any unit: there every attempt succeeds.
Ends with 1 when an attempt ended otherwise than it must."""

import ctypes
import os
import socket
import sys

ZONE = "/var/lib/sluse"
OUTSIDE = ("fd00:51::2", 7)
LIBC = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    if getattr(LIBC, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read(path):
    return lambda: os.close(os.open(path, os.O_RDONLY))


def write(folder):
    def attempt():
        path = f"{folder}/probe"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.remove(path)

    return attempt


def connect(path):
    def attempt():
        with socket.socket(socket.AF_UNIX) as made:
            try:
                made.connect(path)
            except ConnectionRefusedError:
                # It may be connected to; only that nobody listens while this stands in the role's place.
                pass

    return attempt


def udp():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as made:
        made.sendto(b"secret", OUTSIDE)


def raw():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def interfaces():
    if [name for _, name in socket.if_nameindex()] == ["lo"]:
        raise OSError(0, "only the loopback")


def give_away():
    path = "/tmp/probe-owned"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    try:
        os.chown(path, 1, 1)
    finally:
        os.remove(path)


def lease():
    """On another user's file: what sluse-lease has a capability for."""
    handle = os.open("/usr/sbin/slused", os.O_RDONLY)
    call("fcntl", handle, 1024, 0)


def ask():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.connect("/run/sluse/lease.sock")


def become(uid):
    return lambda: os.setuid(uid)


# What is attempted, and which roles succeed.
ATTEMPTS = [
    ("read the configuration", read(f"{ZONE}/sluse.toml"), "receive control inspect deliver"),
    ("read public keys", read(f"{ZONE}/trust/signer.pub"), "receive control inspect deliver"),
    ("change public keys", write(f"{ZONE}/trust"), ""),
    ("read the database", read(f"{ZONE}/control/state.db"), "control"),
    ("write beside the database", write(f"{ZONE}/control"), "control"),
    ("read the TLS certificate", read(f"{ZONE}/receive/tls.crt"), "receive"),
    ("write beside it", write(f"{ZONE}/receive"), ""),
    ("read transfers' identities", read(f"{ZONE}/inspect/identities"), "inspect"),
    ("remember a delivery", write(f"{ZONE}/deliver"), "deliver"),
    ("write to incoming transfers", write(f"{ZONE}/quarantine/incoming"), "receive inspect"),
    ("list sealed transfers", read(f"{ZONE}/quarantine/sealed"), "inspect deliver"),
    ("write to sealed transfers", write(f"{ZONE}/quarantine/sealed"), "inspect"),
    ("read signatures", read(f"{ZONE}/signatures"), "inspect"),
    ("list the rooms", read(f"{ZONE}/rooms"), "deliver"),
    ("write to the rooms", write(f"{ZONE}/rooms"), "deliver"),
    ("make a socket to listen at", write(f"{ZONE}/run"), "control"),
    ("connect to the operators' socket", connect(f"{ZONE}/run/operator.sock"), "control"),
    ("list the encrypted keys", read(f"{ZONE}/credentials"), ""),
    *[(f"read {key}", read(f"/run/credentials/sluse-{role}.service/{key}"), role)
      for role, key in [("control", "ca.key"), ("control", "signing.key"), ("receive", "tls.key"),
                        ("receive", "reset.key"), ("inspect", "quarantine.key"), ("deliver", "deliver.key")]],
    ("read the host's key", read("/var/lib/systemd/credential.secret"), ""),
    ("read passwords", read("/etc/shadow"), ""),
    ("read the host's name", read("/etc/hostname"), "control"),
    ("write to the host", write("/usr"), ""),
    ("read the host's journals", read("/var/log/journal"), ""),
    ("look at process 1", read("/proc/1/status"), ""),
    ("send to a host outside", udp, ""),
    ("see what is on the network", raw, ""),
    ("see the host's interfaces", interfaces, ""),
    ("start a program", lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0), ""),
    ("give a file away", give_away, ""),
    ("take a lease on another's file", lease, "lease"),
    ("ask who still writes", ask, "inspect"),
    ("mount", lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None), ""),
    ("make a name space", lambda: call("unshare", 0x20000), ""),
    ("become another user", become(1), ""),
]


def main(role):
    wrong = 0
    for name, attempt, allowed in ATTEMPTS:
        try:
            attempt()
            ended = "done"
        except OSError as error:
            ended = error.strerror
        expected = role == "root" or role in allowed.split()
        good = (ended == "done") == expected
        wrong += not good
        print(f"{'ok   ' if good else 'WRONG'} {role}: {name}: {ended}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
