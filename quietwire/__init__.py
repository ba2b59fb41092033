"""Quietwire: streaming real-time speech denoising. The command line lives in ``quietwire.cli``."""
