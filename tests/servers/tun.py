"""One end of a tunnel: tun.py NAME PEER. What is sent to the TUN device NAME goes in UDP packets to the address PEER, where
another of these listens. Says so when the device is there, and ends with its standard input."""

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

name, peer = sys.argv[1:]
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
            wire.sendto(os.read(device, LONGEST), (peer, PORT))
        if wire in readable:
            os.write(device, wire.recv(LONGEST))
    except OSError:
        # The way to the peer is gone, or the device is down: the packet is lost.
        pass
