#!/usr/bin/python3
"""activate.py HOST:PORT COMMAND... - what systemd does for a socket unit, and no more: listens, starts COMMAND with
the socket as descriptor 3 when somebody connects, and again when it has ended and somebody waits."""

import os
import select
import socket
import subprocess
import sys


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    listener = socket.create_server((host, int(port)), backlog=4096)
    os.dup2(listener.fileno(), 3)
    print("listens", flush=True)
    while True:
        select.select([listener], [], [])
        process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *sys.argv[2:]], pass_fds=(3,),
                                   env=dict(os.environ, LISTEN_FDS="1"))
        print("started", process.pid, flush=True)
        process.wait()


main()
