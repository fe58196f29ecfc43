#!/usr/bin/env python3
"""Checks what a landing zone left behind, without any of its software.

Written from docs/audit-format.md alone, with Python's standard library, `ssh-keygen` and `sha256sum`: an exported audit log with
its checkpoint, receipts with their proofs, checkpoints with a consistency proof, delivered bags, and the register of disclosures
held against the log. Whoever signs is named by an `allowed_signers` file. Ends with 0 when all of it is good, else with 1 and a
line for each thing that is wrong.

    check.py --signers FILE --zone NAME [--log FILE] [--receipt FILE]... [--bag DIR]... [--register FILE] [--extends OLD NEW]
"""

import argparse
import base64
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile


class Wrong(Exception):
    """Something is not what it must be."""


def require(holds, what):
    if not holds:
        raise Wrong(what)


# --- The tree: RFC 9162, section 2.1 ---------------------------------------------------------------------------------

EMPTY = hashlib.sha256(b"").digest()


def leaf(line):
    return hashlib.sha256(b"\0" + line).digest()


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """The roots of the whole subtrees at the right edge, large ones first."""

    def __init__(self):
        self.size, self.edge = 0, []

    def append(self, line):
        digest, size = leaf(line), self.size
        while size & 1:
            digest, size = node(self.edge.pop(), digest), size >> 1
        self.edge.append(digest)
        self.size += 1

    def root(self):
        if not self.edge:
            return EMPTY
        digest = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            digest = node(left, digest)
        return digest


def root_of_path(index, size, digest, path):
    """Section 2.1.3.2: the root that a leaf's audit path leads to."""
    require(index < size, "the path is of a leaf that is not in the log")
    at, last = index, size - 1
    for sibling in path:
        require(last > 0, "the path is too long")
        if at & 1 or at == last:
            digest = node(sibling, digest)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            digest = node(digest, sibling)
        at, last = at >> 1, last >> 1
    require(last == 0, "the path is too short")
    return digest


def extends(old, new, path):
    """Section 2.1.4.2: whether the log `new` begins with the log `old`, each a pair of size and root."""
    (old_size, old_root), (new_size, new_root) = old, new
    if old_size == new_size:
        return not path and old_root == new_root
    if old_size > new_size:
        return False
    if old_size == 0:
        return not path and old_root == EMPTY
    if old_size & (old_size - 1) == 0:
        path = [old_root] + path
    if not path:
        return False
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for digest in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            first, second = node(digest, first), node(digest, second)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            second = node(second, digest)
        at, last = at >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


# --- Signed statements -----------------------------------------------------------------------------------------------

class Signers:
    """Who may sign. Keys are exchanged: each new one is introduced by a statement, in the log, that the one before signed."""

    def __init__(self, file, zone):
        self.zone, self.lines = zone, pathlib.Path(file).read_text().splitlines()
        self.lines = [line for line in self.lines if line.strip() and not line.startswith("#")]

    def verify(self, line, namespace, statement, signature, time=None):
        """Whether the key of a line of `allowed_signers` signed it; at a time, where the line is good for a time."""
        with tempfile.TemporaryDirectory() as folder:
            files = [pathlib.Path(folder, name) for name in ("signers", "signature")]
            for file, text in zip(files, (line + "\n", signature)):
                file.write_text(text)
            command = ["ssh-keygen", "-Y", "verify", "-f", files[0], "-I", self.zone, "-n", namespace, "-s", files[1]]
            if time:
                command.append("-Overify-time=" + re.sub("[-:T]", "", time))
            return subprocess.run(command, input=statement, capture_output=True).returncode == 0

    def check(self, file, namespace, time=lambda statement: None):
        """The statement's bytes, when the zone signed them."""
        statement, signature = pathlib.Path(file).read_bytes(), pathlib.Path(f"{file}.sig").read_text()
        at = time(statement)
        # Where no time is known, the times of the keys are left out: whatever key the zone had may have signed it.
        lines = self.lines if at else [re.sub(r',valid-(after|before)="[^"]*"', "", line) for line in self.lines]
        good = any(self.verify(line, namespace, statement, signature, at) for line in lines)
        require(good, "the signature is not good")
        return statement

    def follow(self, log):
        """Takes over the keys that the log's statements lead to from the last one that is known."""
        for line in pathlib.Path(log).read_bytes().splitlines():
            if b'"act":"key-rotated"' not in line:
                continue
            details = json.loads(line)["details"]
            statement = json.loads(details["statement"])
            before, signer, time = (statement[name] for name in ("before", "signer", "time"))
            require(statement["zone"] == self.zone, "a statement of its keys is another zone's")
            if before not in self.lines[-1] or before == signer or statement["change"] == "replaced":
                continue
            named = f"{self.zone} {before}"
            good = self.verify(named, "sluse-keys", details["statement"].encode(), details["signature"])
            require(good, "the key before did not sign the statement of the next one")
            when = re.sub("[-:T]", "", time)
            space = 'namespaces="sluse-receipt,sluse-checkpoint"'
            old = self.lines.pop()
            after = re.search(r'valid-after="[^"]*"', old)
            times = ([after.group(0)] if after else []) + [f'valid-before="{when}"']
            self.lines.append(f"{self.zone} {','.join([space] + times)} {before}")
            self.lines.append(f'{self.zone} {space},valid-after="{when}" {signer}')


def when(statement):
    """When a receipt, or an archived bag's statement, was signed."""
    return json.loads(statement)["time"]


def checkpoint(signers, file):
    """Size and root that a checkpoint attests."""
    text = signers.check(file, "sluse-checkpoint").decode()
    lines = text.split("\n")
    require(len(lines) == 4 and lines[3] == "", "it is not a checkpoint of three lines")
    require(lines[0] == signers.zone, "it is another zone's")
    size, root = int(lines[1]), base64.b64decode(lines[2], validate=True)
    require(str(size) == lines[1] and len(root) == 32, "its size or root is not one")
    return size, root


class Receipt:
    """A receipt whose signature and proof are good."""

    def __init__(self, signers, file):
        self.bytes = signers.check(file, "sluse-receipt", when)
        self.fields = fields = json.loads(self.bytes)
        require(fields["sluse"] == "receipt/1", "it is not a receipt of version 1")
        require(fields["zone"] == signers.zone, "it is another zone's")
        self.kind, self.transfer = fields["kind"], fields["transfer"]
        require(pathlib.Path(file).name == f"{self.kind}.json", f"it is a {self.kind} receipt")
        self.size, self.root = fields["audit"]["size"], bytes.fromhex(fields["audit"]["root"])
        proof = fields["inclusion"]
        self.line = proof["entry"].encode()
        path = [bytes.fromhex(digest) for digest in proof["path"]]
        found = root_of_path(self.size - 1, self.size, leaf(self.line), path)
        require(found == self.root, "its proof does not lead to its root")
        self.entry = json.loads(self.line)
        stated = (self.entry.get("transfer"), self.entry["act"], self.entry["time"], self.entry["number"])
        wanted = (self.transfer, f"transfer-{self.kind}", fields["time"], self.size - 1)
        require(stated == wanted, "its audit entry says something else")
        if self.kind == "acknowledged":
            self.stated = acknowledgement(fields, self.entry)

    def sha256(self):
        return hashlib.sha256(self.bytes).hexdigest()


def acknowledgement(fields, entry):
    """The room's own word in an *acknowledged* receipt: signed by the key that the log names, and about this transfer."""
    said = fields["acknowledgement"]
    key = said["key"].split()
    fingerprint = base64.b64encode(hashlib.sha256(base64.b64decode(key[1], validate=True)).digest()).decode().rstrip("=")
    require(entry["details"]["key"] == f"SHA256:{fingerprint}", "the room's key is not the one in the log")
    require(entry["details"]["acknowledgement"] == hashlib.sha256(said["statement"].encode()).hexdigest(),
            "the room's word is not the one in the log")
    with tempfile.TemporaryDirectory() as folder:
        signers, signature = pathlib.Path(folder, "signers"), pathlib.Path(folder, "signature")
        signers.write_text(f'room namespaces="sluse-acknowledgement" {key[0]} {key[1]}\n')
        signature.write_text(said["signature"])
        command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "room", "-n", "sluse-acknowledgement"]
        ended = subprocess.run(command + ["-s", str(signature)], input=said["statement"].encode(), capture_output=True)
    require(ended.returncode == 0, "the room's signature is not good")
    stated = json.loads(said["statement"])
    require(stated["sluse"] == "acknowledgement/1", "the room's word is not of version 1")
    for field in ("zone", "room", "transfer", "manifest_sha256"):
        require(stated[field] == fields[field], f"the room's word is about another {field}")
    require(stated["delivered"] == fields["previous"], "the room's word is about another delivery")
    return stated


def chain(receipts):
    """Each receipt of a transfer names the one before it; the first is the received one."""
    receipts = sorted(receipts, key=lambda receipt: receipt.size)
    require(len({receipt.transfer for receipt in receipts}) == 1, "they are of different transfers")
    first = receipts[0].fields
    require(first["kind"] == "received" and "previous" not in first, "they do not begin with the received one")
    for before, after in zip(receipts, receipts[1:]):
        require(after.fields.get("previous") == before.sha256(), f"{after.kind} does not name {before.kind}")
        fields = whole(after.fields)
        for field in ("manifest_sha256", "chunk_list", "totals", "source", "room", "agreement", "dataset"):
            require(fields[field] == first[field], f"{after.kind} has another {field}")
    return first


def whole(fields):
    """What a receipt says of all that was sent, where files were left out of what it attests."""
    if "part_of" not in fields:
        return fields
    part_of, totals = fields["part_of"], fields["totals"]
    return {**fields, "manifest_sha256": part_of["manifest_sha256"],
            "totals": {name: totals[name] + part_of["left_out"][name] for name in totals}}


# --- The log ---------------------------------------------------------------------------------------------------------

def log(signers, file, receipts):
    """The whole log: each entry follows, and it is what its checkpoint and every receipt attest. Its entries, and each root."""
    size, root = checkpoint(signers, f"{file}.checkpoint")
    attested = {receipt.size: receipt for receipt in receipts}
    tree, entries, roots = Tree(), [], [EMPTY.hex()]
    text = pathlib.Path(file).read_bytes()
    require(text.endswith(b"\n") or not text, "its last line has no end")
    for line in text.split(b"\n")[:-1]:
        entry = json.loads(line)
        require(entry["number"] == tree.size, f"entry {tree.size} has another number")
        require(entry["before"] == tree.root().hex(), f"entry {tree.size} does not follow from those before it")
        tree.append(line)
        entries.append(entry)
        roots.append(tree.root().hex())
        receipt = attested.pop(tree.size, None)
        if receipt:
            require(line == receipt.line, f"entry {tree.size - 1} is not the {receipt.kind} receipt's")
            require(tree.root() == receipt.root, f"at size {tree.size} it is not the log of the {receipt.kind} receipt")
    require(tree.size == size, f"it has {tree.size} entries, its checkpoint attests {size}")
    require(tree.root() == root, "it is not the log of its checkpoint")
    require(not attested, "a receipt attests more entries than it has")
    return entries, roots


def consistency(signers, old, new):
    text = pathlib.Path(f"{new}.consistency").read_text()
    first, *rest = text.splitlines()
    before, after = checkpoint(signers, old), checkpoint(signers, new)
    require(first == f"old {before[0]}", "the consistency proof is for another checkpoint")
    require(extends(before, after, [base64.b64decode(line) for line in rest]), "the later log does not begin with the earlier")


# --- The register ----------------------------------------------------------------------------------------------------

def register(signers, file, entries, roots):
    """The register of disclosures: each record is the one in the log, none is left out, and what became of it stands there."""
    told = json.loads(pathlib.Path(file).read_bytes())
    require(told["sluse"] == "register/1" and told["zone"] == signers.zone, "it is not this zone's register")
    began, size = told["began"], told["audit"]["size"]
    require(began <= size < len(roots), "it was made when the log was longer than the one exported")
    require(roots[size] == told["audit"]["root"], "it was made of another log")
    entries = entries[:size]
    latest = {}
    for entry in entries:
        if entry["act"] == "transfer-released":
            latest[entry["transfer"]] = entry["number"]
    by_act = {}
    for entry in entries:
        by_act.setdefault((entry["act"], entry.get("transfer")), entry)
    sums = dict.fromkeys(("records", "corrections", "releases", "delivered", "underway", "withdrawn",
                          "uncertain", "files", "bytes"), 0)
    corrected = {item["record"]["correction"]["corrects"]: item["record"]["number"]
                 for item in told["records"] if "correction" in item["record"]}
    numbers = []
    for item in told["records"]:
        statement, record, outcome = item["statement"], json.loads(item["statement"]), item["outcome"]
        number, transfer = record["number"], record["transfer"]
        numbers.append(number)
        require(record == item["record"], f"record {number}: its fields are not those of its statement")
        entry = entries[item["entry"]]
        digest = hashlib.sha256(statement.encode()).hexdigest()
        act = "disclosure-corrected" if "correction" in record else "disclosure-recorded"
        stated = (entry["act"], entry["transfer"], entry["details"]["record"], entry["details"]["sha256"])
        require(stated == (act, transfer, number, digest), f"record {number} is not the one in the log")
        require(item["sha256"] == digest, f"record {number}: its digest is another")
        release = entries[record["release_entry"]]
        stated = (release["act"], release["transfer"], release["time"])
        require(stated == ("transfer-released", transfer, record["released"]), f"record {number}: nothing was released then")
        require(outcome["corrected_by"] == corrected.get(number) or told["filter"] != NO_FILTER,
                f"record {number}: another record corrects it")
        became(number, record, outcome, by_act, latest, began)
        if "files" in item:
            total = sum(file["size"] for file in item["files"])
            require((len(item["files"]), total) == (record["totals"]["files"], record["totals"]["bytes"]),
                    f"record {number}: its files do not add up")
        count(sums, record, outcome)
    require(numbers == sorted(set(numbers)), "records stand there twice, or out of order")
    # What older zones wrote counts nothing as uncertain.
    require(sums == {"uncertain": 0, **told["totals"]}, "its records do not add up to its totals")
    if told["filter"] == NO_FILTER:
        wanted = [e["details"]["record"] for e in entries[:began] if e["act"] in ("disclosure-recorded", "disclosure-corrected")]
        require(not set(wanted) - set(numbers), "a record that the log has is left out")
        require(numbers == list(range(1, len(numbers) + 1)), "its records are not numbered from 1 on")
        released = [e for e in entries[:began] if e["act"] == "transfer-released"]
        require(sums["releases"] >= len(released), "a release of the log has no record")


NO_FILTER = {"agreement": None, "institution": None, "from": None, "to": None}


def became(number, record, outcome, by_act, latest, began):
    """What is told of a release's end must stand in the log; what stood there before the register was read must be told."""
    transfer, disclosed = record["transfer"], outcome["disclosed"]
    delivered, purged = by_act.get(("transfer-delivered", transfer)), by_act.get(("transfer-purged", transfer))
    again = latest[transfer] != record["release_entry"]
    require(not again or disclosed == "withdrawn", f"record {number}: it was released again")
    if disclosed == "delivered":
        require(delivered and outcome["delivered"] == delivered["time"], f"record {number}: the log has no such delivery")
        require(outcome["tagmanifest"] == delivered["details"]["tagmanifest"], f"record {number}: another bag was delivered")
    elif not again:
        require(not delivered or delivered["number"] >= began, f"record {number}: the log says that it was delivered")
    ended = by_act.get(("transfer-cancelled", transfer)) or by_act.get(("transfer-expired", transfer))
    logged, remains = ended["details"].get("remains") if ended else None, outcome.get("remains")
    require(remains == logged or (remains is None and ended["number"] >= began), f"record {number}: the log says that something else may be left")
    require((disclosed == "uncertain") == (remains == "bag" and not again), f"record {number}: it may be in its room, or may not")
    told = outcome["deleted"]
    require(told is None or (purged and purged["time"] == told), f"record {number}: the log has no such purge")
    require(told or not purged or purged["number"] >= began, f"record {number}: the log says that it was purged")


def count(sums, record, outcome):
    sums["records"] += 1
    sums["corrections"] += "correction" in record
    if outcome["corrected_by"] is not None:
        return
    sums["releases"] += 1
    sums[outcome["disclosed"]] += 1
    if outcome["disclosed"] == "delivered":
        sums["files"] += record["totals"]["files"]
        sums["bytes"] += record["totals"]["bytes"]


# --- Bags ------------------------------------------------------------------------------------------------------------

def listed(bag, name):
    lines = (bag / name).read_text().splitlines()
    return {path.replace("%25", "%"): digest for digest, path in (line.split("  ", 1) for line in lines)}


def bag(signers, folder):
    """A delivered bag: its digests, its receipts, and that it holds what the source signed and the log says was delivered."""
    folder = pathlib.Path(folder)
    for name in ("manifest-sha256.txt", "tagmanifest-sha256.txt"):
        lines = (folder / name).read_text().replace("%25", "%")
        command = ["sha256sum", "--check", "--strict", "--quiet"]
        ended = subprocess.run(command, cwd=folder, input=lines.encode(), capture_output=True)
        require(ended.returncode == 0, f"sha256sum finds {name} wrong: {ended.stderr.decode().strip()}")
    payload, tags = listed(folder, "manifest-sha256.txt"), listed(folder, "tagmanifest-sha256.txt")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    says_archive = "Sluse-Delivery: archive" in (folder / "bag-info.txt").read_text().splitlines()
    own = {"tagmanifest-sha256.txt", *(["archive.json", "archive.json.sig"] if says_archive else [])}
    require(there == {*payload, *tags, *own}, "it does not hold exactly the files that it lists")
    beside = folder.with_name(f"{folder.name}.receipts")
    files = [folder / "receipts/received.json", folder / "receipts/released.json", beside / "delivered.json"]
    receipts = [Receipt(signers, file) for file in files]
    delivered = receipts[-1]
    if (beside / "acknowledged.json").exists():
        receipts.append(Receipt(signers, beside / "acknowledged.json"))
    chain(receipts)
    released = receipts[1].fields
    for receipt in receipts[2:]:
        for field in ("manifest_sha256", "totals", "part_of"):
            require(receipt.fields.get(field) == released.get(field), f"another {field} was {receipt.kind} than released")
    name = "released-manifest.jsonl" if "part_of" in released else "source-manifest.jsonl"
    manifest = (folder / name).read_bytes()
    require(hashlib.sha256(manifest).hexdigest() == released["manifest_sha256"], "its list of files is not the receipts'")
    if "part_of" in released:
        part(signers, folder / name, released)
    entries = [json.loads(line) for line in manifest.splitlines()[1:]]
    declared = {f"data/{entry['path']}": entry["sha256"] for entry in entries if entry.get("kind", "file") == "file"}
    if (folder / "plaintext-sha256.txt").exists():
        require("plaintext-sha256.txt" in tags, "its list of plain digests is not listed")
        require(sorted(payload) == sorted(listed(folder, "plaintext-sha256.txt")), "its two lists name different files")
        payload = listed(folder, "plaintext-sha256.txt")
    if not (folder / "renamed-paths.tsv").exists():
        require(payload == declared, "its files are not those of the source manifest")
    require(sorted(payload.values()) == sorted(declared.values()), "its files are not those that the source declared")
    tagmanifest = hashlib.sha256((folder / "tagmanifest-sha256.txt").read_bytes()).hexdigest()
    require(delivered.entry["details"]["tagmanifest"] == tagmanifest, "it is not the bag that was delivered")
    if says_archive:
        archive(signers, folder, tagmanifest, receipts[1])
    return receipts


def part(signers, file, released):
    """The list of what was released where files were left out: signed by the zone, and naming the list of everything."""
    header = json.loads(signers.check(file, "sluse-receipt").splitlines()[0])
    part_of, whole_list = released["part_of"], file.with_name("source-manifest.jsonl")
    require(header["sluse"] == "part/1" and header["transfer"] == released["transfer"], "its list is of another transfer")
    require(header["manifest"] == part_of["manifest_sha256"], "its list names another whole")
    require((header["totals"], header["left_out"]) == (released["totals"], part_of["left_out"]), "its list has other sums")
    require(not whole_list.exists(), "it holds a list that names what was left out")


def archive(signers, folder, tagmanifest, released):
    """An archived bag's own statement: signed, of this bag, following its release, and standing in the log."""
    stated = json.loads(signers.check(folder / "archive.json", "sluse-receipt", when))
    require(stated["sluse"] == "archive/1" and stated["zone"] == signers.zone, "its statement is another zone's")
    require(stated["tagmanifest"] == tagmanifest, "its statement is of another bag")
    require(stated["previous"] == released.sha256(), "its statement follows another release")
    for field in ("transfer", "manifest_sha256", "totals", "source", "room", "agreement", "agreement_sha256", "dataset"):
        require(stated[field] == released.fields[field], f"its statement has another {field}")
    line, size = stated["inclusion"]["entry"].encode(), stated["audit"]["size"]
    path = [bytes.fromhex(digest) for digest in stated["inclusion"]["path"]]
    require(root_of_path(size - 1, size, leaf(line), path).hex() == stated["audit"]["root"], "its statement's proof leads elsewhere")
    entry = json.loads(line)
    said = (entry["act"], entry.get("transfer"), entry["time"], entry["number"], entry["details"]["tagmanifest"])
    wanted = ("archive-signed", stated["transfer"], stated["time"], size - 1, tagmanifest)
    require(said == wanted, "its statement's audit entry says something else")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--signers", required=True)
    arguments.add_argument("--zone", required=True)
    arguments.add_argument("--log")
    arguments.add_argument("--receipt", action="append", default=[])
    arguments.add_argument("--bag", action="append", default=[])
    arguments.add_argument("--register", help="with --log: the register as JSON")
    arguments.add_argument("--extends", nargs=2, metavar=("OLD", "NEW"))
    given = arguments.parse_args()
    signers, problems, receipts = Signers(given.signers, given.zone), [], []

    def attempt(name, check):
        try:
            return check()
        except Wrong as wrong:
            problems.append(f"{name}: {wrong}")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            problems.append(f"{name}: cannot be read: {type(error).__name__} {error}")
        return None

    if given.log:
        attempt(given.log, lambda: signers.follow(given.log))
    for file in given.receipt:
        receipt = attempt(file, lambda: Receipt(signers, file))
        receipts += [receipt] if receipt else []
    if given.receipt and len(receipts) == len(given.receipt):
        attempt("the receipts", lambda: chain(receipts))
    for folder in given.bag:
        receipts += attempt(folder, lambda: bag(signers, folder)) or []
    whole = attempt(given.log, lambda: log(signers, given.log, receipts)) if given.log else None
    if given.register and whole:
        attempt(given.register, lambda: register(signers, given.register, *whole))
    elif given.register:
        problems.append(f"{given.register}: it is held against a log that is whole: --log")
    if given.extends:
        attempt(given.extends[1], lambda: consistency(signers, *given.extends))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems" if problems else "OK")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
