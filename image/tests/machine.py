"""A bare machine in QEMU, emulated whole (no KVM): firmware with Secure Boot and the test key that Debian's package has, a TPM, one disk,
one medium, a network on which the test can send to the transfer port and nothing comes in otherwise; and its serial console."""

import os
import re
import select
import signal
import socket
import subprocess
import time

FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd"
VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd"
# Those of a host whose Secure Boot is off.
UNPROTECTED = "/usr/share/OVMF/OVMF_VARS_4M.fd"
ESCAPES = re.compile(rb"\x1b(\[[0-9;?=]*[A-Za-z]|[()][A-Z0-9]|[=>])")
# The menu, and what is asked before it. Messages of the system may come right behind them.
PROMPT = r"Choose: "
ASKS = r"^Code: "


class Failed(Exception):
    """What had to happen did not."""


class Machine:
    def __init__(self, folder, port):
        self.folder = folder
        self.port = port
        self.tpm_folder = self.path("tpm")
        self.medium = self.has_tpm = True
        self.qemu = self.tpm = self.serial = None
        self.text = b""

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self):
        """Switches it on, and returns when its serial console is connected."""
        os.makedirs(self.tpm_folder, exist_ok=True)
        for name in ("tpm.sock", "serial.sock"):
            if os.path.exists(self.path(name)):
                os.remove(self.path(name))
        chip = []
        if self.has_tpm:
            self.tpm = subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.tpm_folder}", "--ctrl", f"type=unixio,path={self.path('tpm.sock')}", "--terminate"])
            self.exists("tpm.sock")
            chip = ["-chardev", f"socket,id=tpm,path={self.path('tpm.sock')}", "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0"]
        medium = ["-drive", f"if=virtio,format=raw,file={self.path('medium.raw')}"] if self.medium else []
        self.qemu = subprocess.Popen([
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64", "-smp", "1", "-m", "1536", "-machine", "q35,smm=on",
            "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}",
            "-drive", f"if=pflash,format=raw,unit=1,file={self.path('variables.fd')}",
            "-drive", f"if=virtio,format=raw,file={self.path('disk.raw')}", *medium,
            *chip, "-netdev", f"user,id=net,hostfwd=udp:127.0.0.1:{self.port}-:7443", "-device", "virtio-net-pci,netdev=net,romfile=",
            "-chardev", f"socket,id=serial,path={self.path('serial.sock')},server=on,wait=on", "-serial", "chardev:serial",
            "-display", "none", "-monitor", "none"])
        self.exists("serial.sock")
        self.serial = socket.socket(socket.AF_UNIX)
        self.serial.connect(self.path("serial.sock"))
        self.started = time.monotonic()

    def exists(self, name):
        deadline = time.monotonic() + 30
        while not os.path.exists(self.path(name)):
            if time.monotonic() > deadline:
                raise Failed(f"{name} never was there")
            time.sleep(0.05)

    def pull_the_power(self):
        """What is in its memory is lost at this moment. What it handed to its disk is not: a disk's own cache is not played."""
        for process in (self.qemu, self.tpm):
            if process and process.poll() is None:
                process.send_signal(signal.SIGKILL if process is self.qemu else signal.SIGTERM)
                process.wait(30)
        if self.serial:
            self.serial.close()
        self.text = b""

    def expect(self, *patterns, seconds=60):
        """Reads the console until one of the patterns is there; returns its index and all text up to its end."""
        deadline = time.monotonic() + seconds
        compiled = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
        while True:
            text = ESCAPES.sub(b"", self.text).replace(b"\r", b"").decode(errors="replace")
            for index, pattern in enumerate(compiled):
                found = pattern.search(text)
                if found:
                    self.text = text[found.end():].encode()
                    return index, text[:found.end()]
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.serial], [], [], left)[0]:
                raise Failed(f"none of {patterns} in {seconds} s; the console's end:\n{text[-4000:]}")
            read = self.serial.recv(65536)
            if not read:
                raise Failed(f"the machine went off; the console's end:\n{text[-4000:]}")
            self.text += read
            with open(self.path("console.log"), "ab") as log:
                log.write(read)

    def goes_off(self, seconds):
        """Reads the console until the machine is off: one that nobody reads would hold it up. Returns QEMU's exit code."""
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.serial], [], [], left)[0]:
                raise Failed(f"it is not off after {seconds} s")
            read = self.serial.recv(65536)
            if not read:
                return self.qemu.wait(60)
            with open(self.path("console.log"), "ab") as log:
                log.write(read)

    def says(self, pattern):
        """Whether it says that within a second."""
        try:
            self.expect(pattern, seconds=1)
        except Failed:
            return False
        return True

    def type(self, text):
        self.serial.sendall(text.encode() + b"\r")

    def choose(self, number, *answers, seconds=120):
        """Chooses from the menu and answers what is asked: pairs of a question's beginning and the answer. Returns what was said."""
        self.type(str(number))
        for question, answer in answers:
            self.expect(re.escape(question) + r".*: $", seconds=seconds)
            self.type(answer)
        ended, said = self.expect(r"^Done\.$", r"NOT DONE\.", seconds=seconds)
        self.expect(PROMPT)
        if ended:
            raise Failed(f"{number} was not done: {said}")
        return said

    def on_medium(self, *command):
        """Runs one of mtools on the medium, which the machine has not mounted."""
        return subprocess.run([command[0], "-i", self.path("medium.raw"), *command[1:]], check=True, capture_output=True, timeout=60).stdout

    def partition(self, name):
        """The partition's first byte on the disk, and its size."""
        listed = subprocess.run(["sfdisk", "--dump", self.path("disk.raw")], check=True, capture_output=True, text=True, timeout=60).stdout
        line = next(line for line in listed.splitlines() if f'name="{name}"' in line)
        start, size = (int(re.search(rf"{word}= *(\d+)", line)[1]) * 512 for word in ("start", "size"))
        return start, size

    def on_esp(self, *command):
        """Runs one of mtools on the loader's partition of the disk, while the machine is off."""
        start, _ = self.partition("esp")
        return subprocess.run([command[0], "-i", f"{self.path('disk.raw')}@@{start}", *command[1:]], check=True, capture_output=True, timeout=60).stdout

    def on_disk(self, at, size):
        """Bytes of the disk, as they are at this moment."""
        with open(self.path("disk.raw"), "rb") as disk:
            disk.seek(at)
            return disk.read(size)
