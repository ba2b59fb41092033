"""How good a network is: every measure over a folder of pairs, beside the unprocessed input."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from compression.data.pairs import Pair
from compression.evaluation.result import Measured, PairResult, Result
from models.measures import Array, measure
from models.offline import enhance
from models.zoo import load_variant

Enhance = Callable[[Array], Array]


def load_system(path: Path) -> Enhance:
    """A function that enhances whole signals ``[samples]``, from a variant's ``.onnx`` or from a checkpoint.

    Raises:
        ZooError: The variant is missing or damaged.
        CheckpointError: The checkpoint is.
    """
    if path.suffix == ".onnx":
        return partial(enhance, load_variant(path))
    from compression.training.checkpoint import enhancer  # torch, needed for checkpoints only

    return enhancer(path)


def evaluate(
    load: Callable[[], Enhance],
    pairs: Sequence[Pair],
    *,
    system: str,
    set_name: str,
    jobs: int = 1,
    noisy: Sequence[Measured] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Enhance and measure every pair.

    Args:
        load: Makes the function that enhances, once a process; for more than one job it must be picklable, as
            ``partial(load_system, path)`` is.
        pairs: What to measure over.
        system: Name of what is evaluated.
        set_name: Name of the pairs.
        jobs: Processes; 1 works in this one.
        noisy: Measures of the pairs' unprocessed input, where they are known from another system's result; measured when None.
        progress: Called after each pair.

    Raises:
        CorpusError: A pair cannot be read.
    """
    results, known = [], noisy if noisy is not None else [None] * len(pairs)
    if jobs == 1:
        system_loaded = load()
        for pair, before in zip(pairs, known, strict=True):
            results.append(measure_pair(system_loaded, pair, before))
            progress()
    else:
        context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of ONNX Runtime and torch
        with concurrent.futures.ProcessPoolExecutor(jobs, context, _start_worker, (load,)) as pool:
            try:
                for result in pool.map(_work, pairs, known):
                    results.append(result)
                    progress()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return Result(system, set_name, tuple(results))


def measure_pair(system: Enhance, pair: Pair, before: Measured | None = None) -> PairResult:
    """One pair's measures before (unless they are known) and after enhancement.

    Raises:
        CorpusError: The pair cannot be read.
    """
    noisy, clean = pair.read()
    return PairResult(pair.name, pair.snr_db, before or measure(clean, noisy), measure(clean, system(noisy)))


class _Worker:
    """What a process of the pool holds."""

    load: Callable[[], Enhance]
    system: Enhance | None = None


def _start_worker(load: Callable[[], Enhance]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _Worker.load = load


def _work(pair: Pair, before: Measured | None) -> PairResult:
    if _Worker.system is None:  # not in the initializer: an error there would only say that the pool is broken
        _Worker.system = _Worker.load()
    return measure_pair(_Worker.system, pair, before)
