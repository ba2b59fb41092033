"""What a user of the offline tools can get wrong; every message is one sentence that says what to change.

They have a module of their own so that the command line can name them without importing torch.
"""

from __future__ import annotations


class CorpusError(Exception):
    """Recordings that cannot be used; the message says what to change."""


class RecipeError(Exception):
    """A settings file that cannot be used; the message names the file and the entry."""


class CheckpointError(Exception):
    """A checkpoint that cannot be used; the message names the file."""


class ExportError(Exception):
    """A variant that cannot be written, or whose graph does not compute what the network computes."""


class CompressionError(Exception):
    """A compression that cannot be done as it was asked for; the message says what to change."""


class EvaluationError(Exception):
    """Figures that cannot be measured or kept; the message says what to change."""


class ExtraMissingError(Exception):
    """The installation lacks the packages of the extra ``compression``."""
