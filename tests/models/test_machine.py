"""How many threads are worth having is a matter of the processors that this process may use, not of those in the machine."""

import os
import subprocess
import sys

import pytest

from models.machine import processors


def test_all_that_may_be_used_count() -> None:
    assert 1 <= processors() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes are not pinned on this system")
def test_a_process_that_is_pinned_to_one_has_one() -> None:
    one = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
        "from models.machine import processors; print(processors())"
    )
    answer = subprocess.run([sys.executable, "-c", one], capture_output=True, text=True, check=True)
    assert answer.stdout == "1\n"
