#!/usr/bin/env python3
"""Two network namespaces with an emulated path between them: delay, random loss, a rate, a bounded queue.

    tests/bench/path.py --bin target/debug --delay-ms 20 --loss 1 --mbit 1000 -- COMMAND [WORD]...

The command finds the namespaces in $NEAR and $FAR, and their addresses in $NEAR_ADDRESS and $FAR_ADDRESS; in a namespace it runs
things with `ip netns exec "$FAR" …`. Delay, loss and rate hold each way. Needs root, `ip` (Debian's iproute2) and the workspace's
program `link`, which carries the packets. At the end a line on standard error says what became of them.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000


def ip(*words):
    """Runs `ip`; what it says is shown when it fails."""
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")


def tun(name):
    """A new TUN device's file."""
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return file


def device_of(namespace):
    """The name of the path's device in a namespace: as long as a name may be."""
    return f"{namespace}t"[-15:]


class Path:
    """A path that exists until it is closed."""

    def __init__(self, link, delay_ms=0.0, loss=0.0, mbit=0, queue=None, seed=1, largest=1500):
        """`loss` in per cent; `queue` in bytes, what the path holds in one round trip where nothing is said; `largest` packet in bytes."""
        number = os.getpid() % 60_000
        self.near, self.far = f"slnear{number}", f"slfar{number}"
        net = f"10.{98 + number // 60_000}.{number // 250 % 250}"
        host = number % 120 * 2
        self.near_address, self.far_address = f"{net}.{host}", f"{net}.{host + 1}"
        self.counts = {}
        self._made = []
        rate = mbit * 1_000_000
        queue = queue or max(int(rate / 8 * 2 * delay_ms / 1000), 256 * 1024)
        try:
            devices = [self._side(*side) for side in ((self.near, self.near_address, self.far_address),
                                                      (self.far, self.far_address, self.near_address))]
            words = [int(delay_ms * 1000), int(loss * 10_000), rate, queue, seed, largest]
            self._link = subprocess.Popen([str(link), *map(str, words)], stdin=devices[0], stdout=devices[1],
                                          stderr=subprocess.PIPE, text=True)
            for device in devices:
                os.close(device)
            # Packets leave on time also when both ends keep every core busy; without the right to it, they may be late.
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(self._link.pid, os.SCHED_FIFO, os.sched_param(5))
        except BaseException:
            self._remove()
            raise

    def _side(self, namespace, address, peer):
        ip("netns", "add", namespace)
        self._made.append(namespace)
        name = device_of(namespace)
        device = tun(name)
        # A long queue of the device: what is dropped is dropped, and counted, by the path.
        ip("link", "set", name, "txqueuelen", 20000)
        ip("link", "set", name, "netns", namespace)
        ip("-n", namespace, "link", "set", "lo", "up")
        ip("-n", namespace, "link", "set", name, "mtu", 1500, "up")
        ip("-n", namespace, "addr", "add", f"{address}/32", "peer", peer, "dev", name)
        return device

    def congestion(self, algorithm):
        """What TCP does about loss on its way from the near end to the far one, from here on."""
        ip("-n", self.near, "route", "replace", self.far_address, "dev", device_of(self.near), "congctl", algorithm)

    def close(self):
        """Removes the path, and keeps what became of its packets in `counts`."""
        self._link.terminate()
        _, told = self._link.communicate()
        self._remove()
        if self._link.returncode != 0:
            sys.exit(f"the path did not work: {told}")
        self.counts = json.loads(told)

    def _remove(self):
        for namespace in self._made:
            subprocess.run(["ip", "netns", "del", namespace], check=False)
        self._made = []


def main():
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--bin", type=pathlib.Path, required=True, help="folder of the binaries")
    words.add_argument("--delay-ms", type=float, default=0)
    words.add_argument("--loss", type=float, default=0)
    words.add_argument("--mbit", type=int, default=0)
    words.add_argument("--queue", type=int)
    words.add_argument("--seed", type=int, default=1)
    words.add_argument("--largest", type=int, default=1500)
    words.add_argument("command", nargs="+")
    chosen = words.parse_args()
    # Who is told to end removes what it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    path = Path(chosen.bin / "link", chosen.delay_ms, chosen.loss, chosen.mbit, chosen.queue, chosen.seed,
                chosen.largest)
    try:
        ends = {"NEAR": path.near, "FAR": path.far, "NEAR_ADDRESS": path.near_address, "FAR_ADDRESS": path.far_address}
        code = subprocess.run(chosen.command, env={**os.environ, **ends}).returncode
    finally:
        path.close()
    print(json.dumps(path.counts), file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
