"""Speech-enhancement networks, their streaming form, and the zoo of shipped variants.

``network``, ``crn`` and ``fcn`` need torch and are used offline only. ``card`` and ``zoo`` need nothing but
numpy and ONNX Runtime; the service imports these two.
"""

import os

# ONNX Runtime's official builds send events about every session to Microsoft unless this is set before they are loaded.
# A service for people's voices tells nobody; who wants it to sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
