#!/usr/bin/env python3
"""An SFTP server that stores other bytes than it is given, says that all is well, and tells the right lengths: OpenSSH's own, behind
somebody who changes the first byte of each long piece on its way."""

import os
import struct
import subprocess
import sys

server = subprocess.Popen(["/usr/lib/openssh/sftp-server"], stdin=subprocess.PIPE)
WRITE = 6


def exactly(count):
    read = b""
    while len(read) < count:
        more = os.read(0, count - len(read))
        if not more:
            server.stdin.close()
            sys.exit(server.wait())
        read += more
    return read


while True:
    packet = bytearray(exactly(struct.unpack(">I", exactly(4))[0]))
    if packet[0] == WRITE:
        handle = struct.unpack(">I", packet[5:9])[0]
        data = 9 + handle + 8 + 4
        if len(packet) - data > 20_000:
            packet[data] ^= 1
    server.stdin.write(struct.pack(">I", len(packet)) + packet)
    server.stdin.flush()
