"""Offline work: data, training, export, evaluation (and compression). Needs the extra ``compression``."""

import pkgutil

# the standard library's package of the same name (Python 3.14) must stay reachable where this folder comes first
__path__ = pkgutil.extend_path(__path__, __name__)
