"""Holds our reader of statistics files against pyreadstat's, on files that nobody here made: `statistics.py PROGRAM FOLDER`.

PROGRAM is the example `content`. In a copy of each file the commonest number is replaced by a national number, so that our reader tells in
which columns and how often it stands; pyreadstat counts it in the same copy. The number is one of the two that the population
register gives as examples."""
import collections
import os
import re
import struct
import subprocess
import sys
import tempfile

import pyreadstat

program, folder = sys.argv[1:]
NUMBER = 2013299997.0
READERS = {".sas7bdat": pyreadstat.read_sas7bdat, ".sav": pyreadstat.read_sav, ".dta": pyreadstat.read_dta, ".xpt": pyreadstat.read_xport}


def commonest(table, data, order):
    """The number that stands most often in the file as eight bytes."""
    counts = collections.Counter()
    for column in table.columns:
        values = [value for value in table[column] if isinstance(value, (int, float)) and value == value and value != 0]
        counts.update(float(value) for value in values)
    best = max(counts, key=lambda value: data.count(struct.pack(order + "d", value)), default=None)
    return best if best is not None and struct.pack(order + "d", best) in data else None


def by_pyreadstat(read, path):
    table, _ = read(path, disable_datetime_conversion=True)
    counts = {at + 1: int((table[name] == NUMBER).sum()) for at, name in enumerate(table.columns)}
    return {column: count for column, count in counts.items() if count}


def by_us(path):
    told = subprocess.run([program, "look", path], capture_output=True, text=True, check=True).stdout
    broken = [line for line in told.splitlines() if ") malformed" in line or ") not-inspected" in line]
    found = re.findall(r"column (\d+)(?: \([^)]*\))?: (\d+) × fødselsnummer", told)
    return {int(column): int(count) for column, count in found}, broken


compared, wrong = 0, 0
for root, _, names in sorted(os.walk(folder)):
    for name in sorted(names):
        path, kind = os.path.join(root, name), os.path.splitext(name)[1]
        if kind not in READERS:
            continue
        try:
            table, _ = READERS[kind](path, disable_datetime_conversion=True)
        except pyreadstat.ReadstatError as error:
            print(f"{name}: not read by pyreadstat: {error}")
            continue
        with open(path, "rb") as file:
            data = file.read()
        order = "<" if commonest(table, data, "<") is not None else ">"
        value = commonest(table, data, order)
        if value is None:
            print(f"{name}: {table.shape[1]} columns, no number of eight bytes")
            continue
        with tempfile.TemporaryDirectory() as place:
            changed = os.path.join(place, "changed" + kind)
            with open(changed, "wb") as file:
                file.write(data.replace(struct.pack(order + "d", value), struct.pack(order + "d", NUMBER)))
            theirs = by_pyreadstat(READERS[kind], changed)
            ours, broken = by_us(changed)
        compared += 1
        agrees = ours == theirs and not broken
        wrong += not agrees
        print(f"{name}: {len(table)} rows, {table.shape[1]} columns: {'agrees' if agrees else f'{ours} is not {theirs} {broken}'}")
print(f"{compared} files compared, {wrong} differ")
sys.exit(1 if wrong or not compared else 0)
