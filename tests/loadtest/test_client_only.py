"""The load test is a client: it would be worth less if it shared code with what it measures."""

import subprocess
import sys


def test_it_loads_nothing_of_the_server():
    code = (
        "import pkgutil, importlib, sys, loadtest\n"
        "for one in pkgutil.iter_modules(loadtest.__path__): importlib.import_module('loadtest.' + one.name)\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(*sorted(names & {'service', 'models', 'compression', 'quietwire', 'onnxruntime', 'torch'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
