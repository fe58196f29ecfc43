"""A site's NTP server, on this machine's loopback: QEMU's network shows it to the guest as its gateway's. It says this machine's time."""

import socket
import struct
import threading
import time

# Between 1900, where NTP's seconds begin, and 1970.
EPOCH = 2208988800


def stamp(seconds):
    return struct.pack("!II", int(seconds) + EPOCH, int(seconds % 1 * 2**32))


class Clock:
    def __init__(self):
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Fails where this machine serves time itself.
        self.socket.bind(("127.0.0.1", 123))
        threading.Thread(target=self.answer, daemon=True).start()

    def answer(self):
        while True:
            asked, who = self.socket.recvfrom(1024)
            now = time.time()
            # Version 4, from a server, of the first stratum; the question's own time comes back as its sign.
            head = struct.pack("!BBbbII4s", 0x24, 1, 6, -20, 0, 0, b"SITE")
            self.socket.sendto(head + stamp(now) + asked[40:48] + stamp(now) + stamp(now), who)
            self.asked += 1
