"""Networks, and what the service and the offline module share: shipped variants, measures, timing, whole files.

What touches torch is imported by the offline module alone: the service loads variants by ``models.zoo``.
"""

import os

# ONNX Runtime's official builds send events about every session to Microsoft unless this is set before they are loaded.
# A service for people's voices tells nobody; who wants it to sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
