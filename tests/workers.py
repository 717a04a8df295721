"""Worker processes on this machine."""

import json
import os
import socket
import subprocess
import sys


def _free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_workers(*command):
    """Two processes of the command, `{}` being their number."""
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(2)]}
    workers = []
    for number in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": number}})
        words = [sys.executable, "-c", *(str(word).replace("{}", str(number)) for word in command)]
        workers.append(subprocess.Popen(words, env=os.environ | {"TF_CONFIG": config}))
    return workers
