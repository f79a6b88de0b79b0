"""One call of the command ``icudl`` of the pages: hands words, environment, folder and streams to the server."""

import json
import os
import socket
import sys
from pathlib import Path

with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    told = {"words": sys.argv[2:], "environment": dict(os.environ), "folder": str(Path.cwd())}
    request = json.dumps(told).encode()
    socket.send_fds(server, [len(request).to_bytes(8)], [0, 1, 2])
    server.sendall(request)
    # A server that was killed says nothing.
    sys.exit(int(server.recv(16) or b"70"))
