"""A backend that takes a request's whole body, as fast as it comes, and answers how long it was.

`python -m bench.sink PORT`; bodies with Content-Length, one connection a thread.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time

PIECE_BYTES = 1 << 20


def serve(connection: socket.socket) -> None:
    buffer = bytearray(PIECE_BYTES)
    with connection:
        while True:
            data = b""
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, body = data.partition(b"\r\n\r\n")
            found = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
            left = int(found[1]) - len(body) if found else 0
            if re.search(rb"(?i)\r\nexpect: *100-continue", head):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            stall = re.search(rb"(?i)\r\nx-stall: *([0-9.]+)", head)
            time.sleep(float(stall[1]) if stall else 0.0)
            length = left + len(body)
            while left > 0:
                got = connection.recv_into(buffer, min(left, PIECE_BYTES))
                if not got:
                    return
                left -= got
            answer = b"%d\n" % length
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))


def main(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main(int(sys.argv[1]))
