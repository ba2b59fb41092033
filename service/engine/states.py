"""State rows of all streams of one variant, in one preallocated array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]


class StateTable:
    """Rows that are reset before they are given out.

    Attributes:
        rows: ``[capacity, state_size]``; memory that no stream has used is not touched.
    """

    def __init__(self, initial: Array, capacity: int) -> None:
        self._initial = initial
        self.rows = np.zeros((capacity, len(initial)), dtype=np.float32)
        self._free = list(range(capacity - 1, -1, -1))

    @property
    def used(self) -> int:
        """Rows given out."""
        return len(self.rows) - len(self._free)

    def acquire(self) -> int:
        """A free row, set to the initial state.

        Raises:
            MemoryError: None is free.
        """
        if not self._free:
            raise MemoryError(f"all {len(self.rows)} state rows are in use")
        row = self._free.pop()
        self.rows[row] = self._initial
        return row

    def release(self, row: int) -> None:
        """Give a row back."""
        self._free.append(row)
