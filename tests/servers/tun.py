"""One end of a tunnel: tun.py NAME [PEER]. What is sent to the TUN device NAME goes in UDP packets to the address PEER, where
another of these listens; without one, to whoever sent last. Says so when the device is there, and ends with its standard
input."""

import fcntl
import os
import select
import socket
import struct
import sys

# linux/if_tun.h
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
PORT = 4500
LONGEST = 65536

name = sys.argv[1]
peer = (sys.argv[2], PORT) if len(sys.argv) > 2 else None
follows = peer is None
device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
wire = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
wire.bind(("", PORT))
print("ready", flush=True)
while True:
    readable, _, _ = select.select([device, wire, sys.stdin], [], [])
    if sys.stdin in readable:
        break
    try:
        if device in readable:
            packet = os.read(device, LONGEST)
            if peer:
                wire.sendto(packet, peer)
        if wire in readable:
            packet, sender = wire.recvfrom(LONGEST)
            if follows:
                peer = sender
            os.write(device, packet)
    except OSError:
        # The way to the peer is gone, or the device is down: the packet is lost.
        pass
