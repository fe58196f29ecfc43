"""An organisation outside, with the forwarded port as its way to the zone."""

import json
import os
import subprocess

from machine import Failed


class Source:
    def __init__(self, sluse, work):
        self.sluse = sluse
        self.identity = os.path.join(work, "identity")
        self.extracts = os.path.join(work, "extracts")
        os.makedirs(self.extracts, exist_ok=True)

    def enrol(self, invite):
        subprocess.run([self.sluse, "enroll", invite, "--identity", self.identity], check=True, timeout=120)
        # Slow enough that the power can be pulled on the way.
        with open(os.path.join(self.identity, "identity.toml"), "a") as settings:
            settings.write("\n[network]\nmax_bytes_per_second = 3000000\n")

    def extract(self, name, size):
        path = os.path.join(self.extracts, name)
        subprocess.run(f"openssl rand -base64 {size * 3 // 4} >'{path}'", shell=True, check=True, timeout=60)
        return path

    def send(self, path, events, agreement="hjerte-epic"):
        """Starts sending; what happens is written to `events`, one JSON object a line."""
        return subprocess.Popen(
            [self.sluse, "send", path, "--identity", self.identity, "--agreement", agreement, "--dataset", os.path.basename(path),
             "--wait", "delivered", "--wait-timeout", "5m", "--give-up", "10m", "--events"], stdout=events)

    def deliver(self, name, size):
        """Sends so many bytes and returns the receipts' files."""
        with open(os.path.join(self.extracts, name + ".events"), "w") as events:
            sending = self.send(self.extract(name, size), events)
            if sending.wait(300):
                raise Failed(f"{name} was not delivered: {open(events.name).read()[-2000:]}")
        return [event["file"] for event in happened(events.name) if event["event"] == "receipt"]


def happened(path):
    with open(path) as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]
