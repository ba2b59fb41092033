"""Speech-enhancement networks, their streaming form, and the zoo of shipped variants.

``network``, ``crn`` and ``fcn`` need torch and are used offline only. ``card`` and ``zoo`` need nothing but
numpy and ONNX Runtime; the service imports these two.
"""
