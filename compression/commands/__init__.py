"""Offline commands of ``quietwire`` that ``compression.cli`` puts together, and the options that they share."""
