"""What the parts of the test share: facts that hold, what an operator does at the menu, a machine as it comes from the factory."""

import glob
import json
import os
import re
import shutil
import subprocess
import time

from machine import ASKS, PROMPT, VARIABLES, Failed

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CODE = "fjord-1814"
# A menu that is there, before or after somebody chose a code.
UP = rf"{ASKS}|{PROMPT}"
MIB = 1024 * 1024
facts = 0


def fact(name, holds=True):
    global facts
    if not holds:
        raise Failed(name)
    facts += 1
    print(f"ok {facts} - {name}", flush=True)


def eventually(what, seconds, check):
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failed(f"never: {what}")
        time.sleep(0.2)


def enter(machine):
    machine.type(CODE)
    machine.expect(PROMPT)


def healthy(machine):
    """Waits for the zone, and returns the status."""
    return says(machine, "is healthy")


def says(machine, what):
    for _ in range(20):
        machine.type("1")
        _, said = machine.expect(r"^Done\.$", r"NOT DONE\.", seconds=120)
        machine.expect(PROMPT)
        if what in said:
            return said
        time.sleep(2)
    raise Failed(f"never {what}: {said}")


def entered(machine):
    """A machine that runs, with its menu."""
    if machine.qemu is None or machine.qemu.poll() is not None:
        machine.start()
        machine.expect(ASKS, seconds=300)
        enter(machine)
    healthy(machine)


def restarted(machine, *meanwhile):
    """Restarts it, sees what is to happen on the way to the code, and enters."""
    machine.type("13")
    machine.expect(r"Restart this host.*: $")
    machine.type("yes")
    for what in meanwhile:
        machine.expect(what, seconds=400)
    machine.expect(ASKS, seconds=400)
    enter(machine)


def bring(machine, bundle):
    for file in (bundle, bundle + ".sig"):
        machine.on_medium("mcopy", "-o", file, "::")


def import_update(machine, bundle, refused=None):
    """Brings a bundle on the medium and imports it, or is told why not."""
    bring(machine, bundle)
    machine.type("15")
    machine.expect(r"^File: $")
    machine.type(os.path.basename(bundle))
    _, said = machine.expect(r"^Done\.$", r"NOT DONE\.", seconds=400)
    machine.expect(PROMPT)
    if (f"({refused})" if refused else "in place, signed by") not in said:
        raise Failed(f"{bundle}, {refused or 'in place'}: {said}")
    for file in (bundle, bundle + ".sig"):
        machine.on_medium("mdel", "::" + os.path.basename(file))


def evidence(machine, sluse):
    """The entries of the log that the menu exports to the medium, which verifies outside."""
    said = machine.choose(12)
    folder = re.search(r"evidence-[0-9-]+", said)[0]
    for file in ("log.jsonl", "log.jsonl.checkpoint", "log.jsonl.checkpoint.sig", "allowed_signers"):
        machine.on_medium("mcopy", "-o", f"::{folder}/{file}", machine.path(file))
    subprocess.run([sluse, "audit", "verify", machine.path("log.jsonl"), "--signer", machine.path("allowed_signers")], check=True, timeout=60)
    with open(machine.path("log.jsonl")) as log:
        return [json.loads(line) for line in log]


def new_machine(machine, images):
    image = glob.glob(os.path.join(images, "sluse_*.raw"))[0]
    subprocess.run(["cp", "--sparse=always", image, machine.path("disk.raw")], check=True, timeout=120)
    os.truncate(machine.path("disk.raw"), os.path.getsize(image) + 2048 * MIB)
    shutil.copy(VARIABLES, machine.path("variables.fd"))
    shutil.rmtree(machine.tpm_folder, ignore_errors=True)
    shutil.rmtree(machine.path("identity"), ignore_errors=True)
    with open(machine.path("medium.raw"), "wb") as medium:
        medium.truncate(512 * MIB)
    subprocess.run(["mkfs.vfat", "-n", "SLUSE", machine.path("medium.raw")], check=True, capture_output=True, timeout=60)
    with open(os.path.join(HERE, "../config/agreements/epic-nightly.toml")) as example, open(machine.path("agreement.toml"), "w") as made:
        made.write(example.read().replace(', "clamd"', ""))
    machine.on_medium("mcopy", machine.path("agreement.toml"), "::agreement.toml")
    sizes = {kind: os.path.getsize(glob.glob(os.path.join(images, f"sluse_*.{kind}"))[0]) // MIB for kind in ("root", "efi", "raw")}
    print(f"# root {sizes['root']} MiB, kernel image {sizes['efi']} MiB, disk {sizes['raw']} MiB with two places", flush=True)


def flip(path, at):
    with open(path, "r+b") as disk:
        disk.seek(at)
        byte = disk.read(1)[0]
        disk.seek(at)
        disk.write(bytes([byte ^ 1]))
