"""An outbox and its `sluse watch`."""

import json
import subprocess
import sys
import time


class Outbox:
    """An outbox that sends as the zone's first source."""

    def __init__(self, zone, folder, parallel):
        self.zone, self.folder = zone, folder / "outbox"
        self.folder.mkdir()
        self.config, self.events = folder / "watch.toml", folder / "events.jsonl"
        self.log = open(folder / "watch.log", "w")
        self.config.write_text(
            f'[watch]\nstate = "watch-state"\nidentity = "{zone.identity}"\nparallel = {parallel}\n'
            f'[outbox.tiny]\nfolder = "outbox"\nagreement = "bench"\ncomplete = "rename"\nafter_hours = 0\n'
        )
        self.watcher = None

    def put(self, name, content):
        """Puts a file there whole."""
        unfinished = self.folder / f".{name}"
        unfinished.write_bytes(content)
        unfinished.rename(self.folder / name)

    def watch(self):
        """Starts the watcher."""
        command = [str(self.zone.sluse), "watch", "--config", str(self.config), "--events"]
        with open(self.events, "w") as events:
            self.watcher = subprocess.Popen(command, stdout=events, stderr=self.log)

    def wait_until_put_away(self, count):
        """Waits until so many entries were delivered and put away; one that was refused ends everything."""
        done = 0
        with open(self.events) as events:
            line = ""
            while done < count:
                line += events.readline()
                if not line.endswith("\n"):
                    if self.watcher.poll() is not None:
                        sys.exit(f"the watcher ended with {self.watcher.returncode}")
                    time.sleep(0.05)
                    continue
                event = json.loads(line)
                line = ""
                if event["event"] == "refused":
                    sys.exit(f"refused: {event}")
                done += event["event"] == "put-away"

    def stop(self):
        """Ends the watcher."""
        if self.watcher is not None:
            self.watcher.terminate()
            self.watcher.wait()
        self.log.close()
