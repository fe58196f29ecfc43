"""Small extracts, alone and many at once beside a large transfer: what measures them shares this."""

import json
import os
import subprocess
import sys
import threading
import time

from peers import AGREEMENT, make_hole


def make_extract(folder):
    """Three incompressible files of 1 MB."""
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(os.urandom(1_000_000))


def seconds_to_delivered(zone, source, extract, dataset):
    """From starting the command to its end."""
    command = [zone.sluse, "send", extract, "--identity", source, "--agreement", source.name.removeprefix("identity-"),
               "--dataset", dataset, "--wait", "delivered", "--wait-timeout", "3600s", "--give-up", "3600s"]
    begun = time.monotonic()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return time.monotonic() - begun


def enrol(zone, folder, name):
    """A source with an agreement of its own name."""
    agreement = folder / f"{name}.toml"
    agreement.write_text(AGREEMENT.replace('id = "bench"', f'id = "{name}"').replace('from = "bench"', f'from = "{name}"'))
    zone.operate("agreement", "add", agreement)
    return zone.enrol(name)


def begin_large(zone, folder, large):
    """Starts a transfer of so many MiB, and waits until it is being received. A hole: it takes no room at the source."""
    make_hole(folder / "large.bin", large << 20)
    command = [zone.sluse, "send", folder / "large.bin", "--identity", zone.identity, "--agreement", "bench",
               "--dataset", "large", "--wait", "delivered", "--wait-timeout", "3600s"]
    big = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
    while not any(transfer["status"]["state"] == "receiving" for transfer in json.loads(zone.operate("transfers", "--json"))):
        if big.poll() is not None:
            break
        time.sleep(0.05)
    return big


def together(zone, folder, sources, large):
    """Seconds of every source's extract beside a large transfer, and whether that was still under way at the end."""
    identities = [enrol(zone, folder, f"source{number}") for number in range(sources)]
    for number in range(sources):
        make_extract(folder / f"together-{number}")
    big = begin_large(zone, folder, large) if large else None
    found, failed = [], []

    def one(number):
        try:
            found.append(seconds_to_delivered(zone, identities[number], folder / f"together-{number}", "extract"))
        except SystemExit as failure:
            failed.append(str(failure))

    threads = [threading.Thread(target=one, args=[number]) for number in range(sources)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    beside = big is not None and big.poll() is None
    if failed or (big is not None and big.wait() != 0):
        sys.exit("\n".join(failed) or "the large transfer failed")
    return found, beside


def quantiles(found):
    """Median and 99th percentile."""
    found = sorted(found)
    return found[(len(found) - 1) // 2], found[min(len(found) - 1, int(len(found) * 0.99))]
