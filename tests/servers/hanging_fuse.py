"""A file system with one file, for tests: python3 hanging_fuse.py FOLDER READS|LOOKS mounts it on FOLDER.

Of the file, READS or LOOKS (fstat) are not answered, whatever the kernel asks: who waits for one cannot even be killed. All
else is answered at once, and FLUSH so that the kernel sends no more of them: closing the file waits for nobody. It speaks
the kernel's protocol itself (linux/fuse.h), so that nothing needs to be installed. It says "mounted", and "hangs" for each
request that it leaves alone. A line on its standard input lets them go, and from then on everything is answered; at the end
of its input it ends, and with it the mount's connection.
"""
import ctypes
import errno
import os
import select
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, INIT, OPENDIR = 1, 2, 3, 14, 15, 18, 26, 27
RELEASEDIR, INTERRUPT, BATCH_FORGET = 29, 36, 42
ROOT, FILE = 1, 2
BYTES = bytes(n * 31 % 251 for n in range(300_000))
NOSUID_NODEV = 2 | 4
# Each read comes to us; else a second one would wait for the first one's page.
DIRECT_IO = 1


class Server:
    def __init__(self, folder, hangs):
        self.fuse = os.open("/dev/fuse", os.O_RDWR)
        self.hangs, self.waiting = {"READS": READ, "LOOKS": GETATTR}[hangs], []
        options = f"fd={self.fuse},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
        # In a user namespace this would let in only those who are in it; its owner is let in anyway.
        if open("/proc/self/uid_map").read().split() == ["0", "0", "4294967295"]:
            options += ",allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"hanging", folder.encode(), b"fuse", NOSUID_NODEV, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mounting on " + folder)

    def serve(self):
        while True:
            ready, _, _ = select.select([self.fuse, sys.stdin], [], [])
            if sys.stdin in ready:
                if not sys.stdin.readline():
                    return
                self.hangs = None
                while self.waiting:
                    self.answer(*self.waiting.pop())
            if self.fuse in ready:
                request = os.read(self.fuse, 1 << 18)
                _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
                self.take(unique, opcode, node, request[40:])

    def take(self, unique, opcode, node, body):
        if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            return
        if (opcode, node) == (self.hangs, FILE):
            self.waiting.append((unique, opcode, node, body))
            say("hangs")
            return
        self.answer(unique, opcode, node, body)
        if opcode == INIT:
            say("mounted")

    def answer(self, unique, opcode, node, body):
        error, body = reply(opcode, node, body)
        os.write(self.fuse, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)


def reply(opcode, node, body):
    if opcode == INIT:
        return 0, struct.pack("<IIIIHHII36x", 7, 31, 0, 0, 1, 1, 1 << 17, 1)
    if opcode == LOOKUP:
        return 0, struct.pack("<QQQQII", FILE, 0, 3600, 0, 0, 0) + attributes(FILE)
    if opcode == GETATTR:
        return 0, struct.pack("<QII", 0, 0, 0) + attributes(node)
    if opcode == OPEN:
        return 0, struct.pack("<QII", 0, DIRECT_IO, 0)
    if opcode == OPENDIR:
        return 0, struct.pack("<QII", 0, 0, 0)
    if opcode == READ:
        _, offset, size = struct.unpack_from("<QQI", body)
        return 0, BYTES[offset : offset + size]
    if opcode in (RELEASE, RELEASEDIR):
        return 0, b""
    return errno.ENOSYS, b""


def attributes(node):
    mode, size = (0o40755, 0) if node == ROOT else (0o100644, len(BYTES))
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def say(word):
    print(word, flush=True)


if __name__ == "__main__":
    Server(*sys.argv[1:]).serve()
