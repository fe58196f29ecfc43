"""Reads a bag with software that is not ours: bagit validates it, rocrate reads its description. Prints what they found as JSON."""

import json
import sys

import bagit
from rocrate.rocrate import ROCrate

folder = sys.argv[1]
bag = bagit.Bag(folder)
bag.validate()
crate = ROCrate(folder)
parts = [part if isinstance(part, str) else part.id for part in crate.root_dataset["hasPart"]]
print(json.dumps({"files": len(bag.payload_entries()), "crate": crate.root_dataset["name"], "parts": parts}))
