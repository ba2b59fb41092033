"""Simulated microphones: how many live streams a server holds. A client only; it knows the wire protocol and nothing else."""
