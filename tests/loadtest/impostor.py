"""A server that gives back what it gets, in good order for the first stream, and with a fault for all that follow."""

import contextlib
import json
import threading
import time
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

LATENCY_MS = 1.25
STRIKE = 3


class Impostor:
    """Serves with a fault of a given name; faults strike at message number 3."""

    def __init__(self, fault):
        self.fault, self.connections, self.queries = fault, 0, []

    def handle(self, socket):
        honest = self.connections == 0
        self.connections += 1
        self.queries.append(parse_qs(urlsplit(socket.request.path).query))
        with contextlib.suppress(ConnectionClosed):
            self.talk(socket, None if honest else self.fault)

    def talk(self, socket, fault):
        if fault == "refuse":
            socket.send(json.dumps({"type": "error", "code": "overloaded", "message": "No room."}))
            socket.close(4429, "overloaded")
            return
        socket.send(json.dumps({"type": "ready", "hop_ms": 10, "algorithmic_latency_ms": 20, "model": "echo"}))
        seq = samples_in = samples_out = 0
        for message in socket:
            if isinstance(message, str):
                break
            samples_in += len(message) // 2
            answer = self.spoil(message, seq, fault)
            samples_out += len(answer) // 2
            if fault == "fragments":
                socket.send([answer[:100], answer[100:]])
            elif answer:
                socket.send(answer)
            if fault == "break" and seq == STRIKE:
                socket.send(json.dumps({"type": "error", "code": "internal", "message": "Something broke."}))
                socket.close(1011, "internal")
                return
            if fault == "silent" and seq >= STRIKE:
                seq += 1
                continue
            stated = seq + 1 if fault == "order" and seq == STRIKE else seq
            socket.send(json.dumps({"type": "stats", "seq": stated, "latency_ms": LATENCY_MS}))
            if fault == "babble" and seq == STRIKE:
                socket.send("{no JSON")
            seq += 1
        if fault == "count":
            samples_in += 1
        summary = {"type": "summary", "samples_in": samples_in, "samples_out": samples_out, "real_time_factor": 0.5}
        socket.send(json.dumps(summary))

    def spoil(self, data, seq, fault):
        if seq != STRIKE:
            return data
        match fault:
            case "drop":
                return b""
            case "add":
                return data + data
            case "alter":
                return data[:100] + bytes([data[100], data[101] ^ 0x40]) + data[102:]
            case "slow":
                time.sleep(0.2)
        return data


@contextlib.contextmanager
def impostor(fault=None):
    """``with impostor("drop") as (url, server)``."""
    one = Impostor(fault)
    with serve(one.handle, "127.0.0.1", 0, compression=None, close_timeout=0.2) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/ws/enhance", one
        finally:
            server.shutdown()
            thread.join()
