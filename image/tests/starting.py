"""What does not start, and what opens the state partition."""

import glob
import os
import shutil
import subprocess

from machine import ASKS, PROMPT, UNPROTECTED, VARIABLES, Machine
from steps import UP, enter, fact, flip, new_machine


def refusals(machine, source, images):
    if not os.path.exists(machine.path("disk.raw")):
        new_machine(machine, images)
        machine.start()
        machine.expect(PROMPT, seconds=400)
    machine.pull_the_power()
    kept, machine.tpm_folder = machine.tpm_folder, machine.path("other-tpm")
    shutil.rmtree(machine.tpm_folder, ignore_errors=True)
    machine.start()
    machine.expect(r"not opened by a TPM", seconds=400)
    fact("another host's TPM does not open the state")
    machine.expect(UP, seconds=400)
    fact("the key on the medium does")
    machine.pull_the_power()
    machine.tpm_folder = kept

    shutil.copy(UNPROTECTED, machine.path("variables.fd"))
    machine.start()
    machine.expect(r"not opened by a TPM", seconds=400)
    fact("its own TPM does not, where Secure Boot was switched off")
    ended, _ = machine.expect(ASKS, PROMPT, seconds=400)
    if ended == 0:
        enter(machine)
    machine.type("1")
    machine.expect(r"Secure Boot is OFF")
    fact("which the menu says")
    machine.pull_the_power()
    shutil.copy(VARIABLES, machine.path("variables.fd"))

    image = glob.glob(os.path.join(images, "sluse_*.efi"))[0]
    name = os.path.basename(image)[: -len(".efi")]
    start, _ = machine.partition(name)
    # In the first block, after the file system's own checksummed head.
    flip(machine.path("disk.raw"), start + 3000)
    machine.start()
    ended, said = machine.expect(r"Kernel panic.*$", r"Sluse does not start: .*$", UP, seconds=400)
    machine.pull_the_power()
    print(f"# it said: {said.splitlines()[-1]}", flush=True)
    fact("with one byte of its root changed it does not start", ended < 2 and "corrupted" in said)
    flip(machine.path("disk.raw"), start + 3000)

    unsigned = machine.path("unsigned.efi")
    shutil.copy(image, unsigned)
    subprocess.run(["sbattach", "--remove", unsigned], check=True, capture_output=True, timeout=60)
    machine.on_esp("mcopy", "-o", unsigned, f"::EFI/Linux/{name}.efi")
    machine.start()
    ended, said = machine.expect(r"(?i)(access denied|security violation|security policy).*$", r"Linux version", seconds=400)
    machine.pull_the_power()
    fact("an unsigned kernel image is refused by the firmware", ended == 0)
    machine.on_esp("mcopy", "-o", image, f"::EFI/Linux/{name}.efi")


def without_tpm(machine, source, images):
    """A host of its own, beside the one that the other parts go on with."""
    folder = machine.path("without-tpm")
    os.makedirs(folder, exist_ok=True)
    bare = Machine(folder, machine.port)
    bare.has_tpm = bare.medium = False
    new_machine(bare, images)
    try:
        bare.start()
        bare.expect(r"this host has no TPM: the key of the state partition needs a medium", seconds=400)
        fact("a host without a TPM and without a medium makes no state partition")
        bare.pull_the_power()
        bare.medium = True
        bare.start()
        bare.expect(r"the key of the state partition is on the medium", seconds=400)
        bare.expect(PROMPT, seconds=400)
        bare.type("1")
        bare.expect("the key is on the medium", seconds=60)
        fact("with one, the start that was cut begins again, and the key is on the medium")
        bare.pull_the_power()
        bare.medium = False
        bare.start()
        bare.expect(r"it needs the medium with state.key", seconds=400)
        fact("without the medium it does not open")
        bare.pull_the_power()
        bare.medium = True
        bare.start()
        bare.expect(PROMPT, seconds=400)
        fact("and with it, it does")
    finally:
        bare.pull_the_power()
