"""What the benchmarks share: a landing zone of the release binaries, an SSH server of our own, and data."""

import json
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent
AGREEMENT = """
id = "bench"
title = "Benchmark"
project = "benchmark"
controller = "nobody"
purpose = "measuring"
identifiability = "anonymous"
valid_from = "2020-01-01T00:00:00Z"
valid_to = "2099-01-01T00:00:00Z"
from = "bench"
to = "bench"

[legal_basis]
kind = "consent"
authority = "REK"
reference = "none"
valid_from = "2020-01-01T00:00:00Z"
valid_to = "2099-01-01T00:00:00Z"
periodic = true

[dpia]
reference = "none"

[processing_agreement]
reference = "none"

[limits]
max_bytes = 100_000_000_000
max_files = 500_000
max_open_bytes = 1_000_000_000_000

[content.actions]
type-unknown = "allow"

[release]
rule = "automatic"

[retention]
quarantine_days = 0
hold_days = 1
"""


def run(*command, **more):
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def timed(*command):
    """Seconds of wall clock and of CPU (with children), and peak memory in MiB, of one command."""
    begun = time.monotonic()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begun
    if child.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {child.returncode}\n{errors.decode()}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def free_port(kind):
    """A loopback port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ssh:
    """An SSH server of our own: on loopback, or at the far end of an emulated path, where its clients are at the near one."""

    def __init__(self, folder, path=None):
        self.port = free_port(socket.SOCK_STREAM)
        self.address = path.far_address if path else "127.0.0.1"
        self.client = ["ip", "netns", "exec", path.near] if path else []
        server = ["ip", "netns", "exec", path.far] if path else []
        folder.mkdir()
        for name in ("host", "user"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
        shutil.copy(folder / "user.pub", folder / "authorized_keys")
        pathlib.Path("/run/sshd").mkdir(exist_ok=True)
        config = folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress {self.address}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nPermitRootLogin yes\n"
            "Subsystem sftp internal-sftp\n"
        )
        self.server = subprocess.Popen([*server, "/usr/sbin/sshd", "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
        self.options = ["-i", str(folder / "user"), "-o", "StrictHostKeyChecking=no", "-o",
                        f"UserKnownHostsFile={folder}/known", "-o", "LogLevel=ERROR"]
        for _ in range(200):
            ready = subprocess.run([*self.client, "ssh", "-p", str(self.port), *self.options, self.address, "true"],
                                   capture_output=True)
            if ready.returncode == 0:
                break
            time.sleep(0.05)

    def scp(self, source, target):
        return timed(*self.client, "scp", "-P", self.port, *self.options, source, f"{self.address}:{target}")

    def rsync(self, source, target):
        shell = " ".join(["ssh", "-p", str(self.port), *self.options])
        return timed("rsync", "-a", "-e", shell, f"{source}/", f"{self.address}:{target}/")

    def stop(self):
        self.server.terminate()
        self.server.wait()


class Zone:
    """A landing zone of the binaries, with one source and one room: on loopback, or at the far end of an emulated path."""

    def __init__(self, folder, binaries, path=None, settings=""):
        self.sluse, self.folder = binaries / "sluse", folder / "zone"
        address = f"{path.far_address if path else '127.0.0.1'}:{free_port(socket.SOCK_DGRAM)}"
        self.near = ["ip", "netns", "exec", path.near] if path else []
        far = ["ip", "netns", "exec", path.far] if path else []
        run(self.sluse, "zone", "init", self.folder, "--name", "bench", "--listen", address, "--advertise", address)
        with open(self.folder / "sluse.toml", "a") as configuration:
            configuration.write(settings)
        self.log = open(folder / "slused.log", "w")
        self.daemon = subprocess.Popen(
            [*far, binaries / "slused", "all", "--config", self.folder / "sluse.toml"], stderr=self.log, stdout=self.log
        )
        self.peaks = {}
        threading.Thread(target=self.watch_memory, daemon=True).start()
        self.operate("health", wait=True)
        self.operate("room", "add", "bench", "--names", "posix")
        (folder / "bench.toml").write_text(AGREEMENT)
        self.operate("agreement", "add", folder / "bench.toml")
        self.identity = self.enrol("bench")

    def enrol(self, name):
        """Enrols a source; its identity folder."""
        invite, identity = self.folder.parent / f"{name}.invite.toml", self.folder.parent / f"identity-{name}"
        self.operate("source", "invite", name, "--out", invite)
        run(*self.near, self.sluse, "enroll", invite, "--identity", identity)
        return identity

    def operate(self, *words, wait=False):
        """Runs an operator's command; with `wait`, until it succeeds."""
        command = [self.sluse, *words, "--zone", self.folder]
        for _ in range(200 if wait else 1):
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
            if done.returncode == 0:
                return done.stdout
            time.sleep(0.1)
        sys.exit(f"{command}: {done.stdout}{done.stderr}\n{pathlib.Path(self.log.name).read_text()}")

    def processes(self):
        """The daemon's processes: the supervisor, the roles, the nursery and its parsers."""
        found = [self.daemon.pid]
        for pid in found:
            try:
                for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                    found += map(int, children.read_text().split())
            except OSError:
                continue  # it has ended
        return found

    def cpu(self):
        """CPU seconds so far of the daemon's processes, and of those of them that have ended."""
        ticks = 0
        for pid in self.processes():
            try:
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue  # a parser that has ended: its parent has its time
            ticks += sum(map(int, fields[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def watch_memory(self):
        """Notes the peak resident memory in MiB of each kind of process; parsers do not live long, so it looks often."""
        while self.daemon.poll() is None:
            for pid in self.processes():
                try:
                    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    status = pathlib.Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                peak = next((line for line in status.splitlines() if line.startswith("VmHWM")), None)
                if peak and len(words) > 1:
                    kind = words[1].decode()
                    self.peaks[kind] = max(self.peaks.get(kind, 0), int(peak.split()[1]) / 1024)
            time.sleep(0.1)

    def sending(self, path, dataset, until):
        """The command that sends a dataset."""
        return [*self.near, self.sluse, "send", path, "--identity", self.identity, "--agreement", "bench",
                "--dataset", dataset, "--wait", until, "--wait-timeout", "3600s"]

    def send(self, path, dataset, until):
        """Sends a dataset; wall seconds, CPU seconds of both sides, the sender's peak memory."""
        before = self.cpu()
        wall, cpu, peak = timed(*self.sending(path, dataset, until))
        return wall, cpu + self.cpu() - before, peak

    def settle(self):
        """Waits until nothing moves any more: every transfer delivered and purged."""
        for _ in range(36000):
            listed = json.loads(self.operate("transfers", "--json"))
            states = {transfer["status"]["state"] for transfer in listed}
            if states & {"held", "rejected", "failed"}:
                sys.exit(f"what was sent is not delivered: {listed}")
            if states <= {"purged", "cancelled"}:
                break
            time.sleep(0.1)
        os.sync()

    def empty_room(self):
        """Removes what was delivered."""
        for bag in (self.folder / "rooms" / "bench").iterdir():
            shutil.rmtree(bag)
        os.sync()

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        self.daemon.wait()


def make_hole(path, size):
    """A file of so many zeros that takes no room at the source."""
    with open(path, "wb") as file:
        file.truncate(size)


def make_file(path, size):
    """An incompressible file."""
    with open(path, "wb") as out:
        while size > 0:
            out.write(os.urandom(min(size, 1 << 24)))
            size -= 1 << 24
    os.sync()


def make_tree(folder, files, smallest=4096, largest=65536):
    """A tree of small incompressible files, 100 to a folder: always the same, since by chance one may begin like an archive, and be held."""
    sizes = random.Random(1)
    noise = sizes.randbytes(largest * 4)
    for number in range(files):
        if number % 100 == 0:
            (folder / f"{number // 100:05}").mkdir(parents=True)
        size, start = sizes.randint(smallest, largest), sizes.randint(0, largest * 3)
        (folder / f"{number // 100:05}" / f"{number:07}.bin").write_bytes(noise[start:start + size])
    os.sync()


def tree_bytes(path):
    """Bytes of a file, or of all files below a folder."""
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def release(chosen):
    """The folder of the binaries: the one chosen, or a release that is built now."""
    # Who is told to end stops and removes what it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    if chosen is not None:
        return chosen
    subprocess.run(["cargo", "build", "--release", "--quiet", "--workspace"], cwd=REPOSITORY, check=True)
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release"
