"""Updates of an appliance that has a zone, by bundles on the medium: of scanner databases, and of itself."""

import os
import time

from bundles import Maker, Version
from machine import ASKS, Failed
from steps import HERE, MIB, bring, enter, entered, eventually, evidence, fact, flip, healthy, import_update, restarted, says

# What every scanner takes for malware, put together so that it stands in no file of ours.
EICAR = r"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-ANTIVIRUS" + "-TEST-FILE!$H+H*"


def takes_updates_of(maker, machine):
    maker.give_key(machine)
    machine.choose(16, ("Take updates that this key", "yes"))


def updates(machine, source, images):
    maker = Maker(machine.path("maker"))
    entered(machine)
    takes_updates_of(maker, machine)
    fact("an operator names the key of updates, from the medium")
    mark = "a-mark-that-only-the-update-knows"
    extract = source.extract("marked.txt", 100_000)
    with open(extract, "a") as file:
        file.write(mark + "\n")
    database = f"Update.Mark:0:*:{mark.encode().hex()}\nEicar.Test:0:*:{EICAR.encode().hex()}\n"
    bundle = maker.bundle("clamd-7.tar", "clamd", 7, {"site.ndb": database.encode()})
    import_update(machine, bundle)
    fact("a signed bundle brings clamd its first databases")
    with open(os.path.join(HERE, "../config/agreements/epic-nightly.toml")) as example, open(machine.path("scanned.toml"), "w") as made:
        made.write(example.read().replace('"hjerte-epic"', '"hjerte-scanned"'))
    machine.on_medium("mcopy", "-o", machine.path("scanned.toml"), "::scanned.toml")
    machine.choose(4, ("File", "scanned.toml"))
    says(machine, "ClamAV")
    fact("clamd runs, and an agreement may name it")
    fact("what only those databases know is rejected", sent(source, extract) == 7)
    fact("and what they do not know is delivered", sent(source, source.extract("clean.txt", 100_000)) == 0)

    before = machine.choose(17)
    import_update(machine, maker.bundle("clamd-6.tar", "clamd", 6, {"site.ndb": b""}), "update-older")
    damaged = maker.bundle("clamd-8.tar", "clamd", 8, {"site.ndb": database.encode()})
    flip(damaged, 700)
    import_update(machine, damaged, "update-unsigned")
    stranger = Maker(machine.path("stranger")).bundle("clamd-9.tar", "clamd", 9, {"site.ndb": database.encode()})
    import_update(machine, stranger, "update-unsigned")
    fact("an older bundle, a damaged one and another's are refused, and change nothing", machine.choose(17) == before)
    fact("and the log has each of them", logged(machine, source)[-3:] == ["update-older", "update-unsigned", "update-unsigned"])


def sent(source, extract):
    """Sends it under the agreement that names clamd, and returns how that ended."""
    with open(extract + ".events", "w") as events:
        return source.send(extract, events, agreement="hjerte-scanned").wait(300)


def logged(machine, source):
    """Why updates were refused, by the log that an operator exports."""
    return [entry["details"]["code"] for entry in evidence(machine, source.sluse) if entry["act"] == "update-refused"]


def fallback(machine, source, images):
    maker = Maker(machine.path("maker"))
    entered(machine)
    takes_updates_of(maker, machine)
    now, new = Version(images), Version(os.path.join(images, "next"))
    import_update(machine, maker.version("system-1.tar", 1, new, kernel=new.unsigned(machine.path("unsigned.efi"))), "update-malformed")
    fact("a version that this host's Secure Boot would not start is refused")

    broken = maker.version("system-2.tar", 2, new, kernel=new.that_panics(machine.path("broken.efi")))
    cut_while_written(machine, broken)
    fact("the power is pulled while a version is written, and what ran before starts", f"Sluse appliance {now.number}" in healthy(machine))
    import_update(machine, broken)
    fact(f"the same bundle puts version {new.number} beside {now.number}, which runs")
    started = time.monotonic()
    restarted(machine, *[r"Kernel panic"] * 3)
    print(f"# three tries and back: {time.monotonic() - started:.0f} s", flush=True)
    said = healthy(machine)
    fact("it does not come up three times, and the version before does", f"Sluse appliance {now.number}" in said)
    fact("which says so", f"{new.number} did not come up and is not tried any more" in said)
    source.deliver("after-the-fallback.txt", MIB)
    fact("and the zone goes on")

    import_update(machine, maker.version("system-3.tar", 3, now), "update-older")
    fact("a version that is not newer than the one that runs is refused")
    fact("and the log has what was refused", logged(machine, source)[-2:] == ["update-malformed", "update-older"])


def versions(machine, source, images):
    maker = Maker(machine.path("maker"))
    entered(machine)
    takes_updates_of(maker, machine)
    now, new = Version(images), Version(os.path.join(images, "next"))
    import_update(machine, maker.version("system-4.tar", 4, new))
    restarted(machine)
    eventually("the new version is proven", 300, lambda: "is being tried" not in healthy(machine))
    said = healthy(machine)
    fact("the good one of that version comes up, and is proven", f"Sluse appliance {new.number}" in said and "did not come up" not in said)
    source.deliver("after-the-update.txt", MIB)
    restarted(machine)
    fact("and starts from then on, with the zone that was there", f"Sluse appliance {new.number}" in healthy(machine))
    import_update(machine, maker.version("system-9.tar", 9, now), "update-older")
    fact("there is no way back by a bundle")
    fact("which the log has", logged(machine, source)[-1] == "update-older")
    machine.type("14")
    machine.expect(r"Power it off.*: $")
    machine.type("yes")
    fact("the menu powers it off", machine.goes_off(300) == 0)
    machine.pull_the_power()


def cut_while_written(machine, bundle):
    """Imports it, pulls the power when the other place has its first bytes, and starts again."""
    place, _ = machine.partition("_empty")
    # Behind the boot sector's place an erofs has its head.
    head = place + 1024
    first = machine.on_disk(head, 4)
    bring(machine, bundle)
    machine.type("15")
    machine.expect(r"^File: $")
    machine.type(os.path.basename(bundle))
    deadline = time.monotonic() + 500
    while machine.on_disk(head, 4) == first:
        if machine.says(r"NOT DONE\.") or time.monotonic() > deadline:
            raise Failed(f"{bundle} is not written: {machine.text[-2000:]}")
    machine.pull_the_power()
    entries = machine.on_esp("mdir", "-b", "::EFI/Linux")
    if b"+3" in entries:
        raise Failed(f"it was written whole before the power was pulled: {entries}")
    machine.start()
    machine.expect(ASKS, seconds=400)
    enter(machine)
