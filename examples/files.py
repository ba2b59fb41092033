"""Whole files, and what each variant costs: python examples/files.py noisy.wav clean.flac [server]."""

import sys

from quietwire import Client, QuietwireError

source, target, server = [*sys.argv[1:], "http://127.0.0.1:8000"][:3]

with Client(server) as client:
    result = client.enhance_file(source, target)
    print(f"{result.model}/{result.variant}: {result.audio_seconds:.2f} s in {result.latency_ms:.0f} ms")
    for row in client.compare(source)["variants"]:
        print(f"{row['model']}/{row['variant']}: {row['model_bytes']} bytes, real-time factor {row['real_time_factor']:.4f}")
    try:
        client.enhance_file(source, variant="louder")
    except QuietwireError as error:
        print(f"{error.code}: {error.message}")
