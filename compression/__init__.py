"""Offline work: data, training, export, evaluation (and compression). Needs the extra ``compression``."""
