"""What the paper claims and what other systems score, as reference data beside our own figures (``peers.toml``)."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another system over the set of ``Reference``; None is unknown.

    Attributes:
        name: Of the system.
        pesq: Wide band.
        stoi: At most 1.
        estoi: At most 1.
        si_sdr: In dB.
        note: How it was run or trained.
        pesq_by_snr: ``pesq`` by input SNR, in the order of ``Reference.snr_db``.
        latency_ms: Hop and measured delay.
        rtf: CPU time over audio time, one thread, frame by frame.
        bytes: Of its file, rounded.
    """

    name: str
    pesq: float
    stoi: float
    si_sdr: float
    estoi: float | None = None
    note: str = ""
    pesq_by_snr: tuple[float, ...] = ()
    latency_ms: float | None = None
    rtf: float | None = None
    bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class Paper:
    """What a paper publishes of a network before and after compression, on a test set of its own.

    Attributes:
        name: Authors and year.
        source: Where it is published.
        size_ratio: Compressed over original, as they count it.
        pesq: Original and compressed.
        stoi: Original and compressed.
        pesq_loss: In percent, as published.
        stoi_loss: In percent, as published.
    """

    name: str
    source: str
    size_ratio: float
    pesq: tuple[float, float]
    stoi: tuple[float, float]
    pesq_loss: float
    stoi_loss: float


@dataclasses.dataclass(frozen=True)
class Reference:
    """All reference data.

    Attributes:
        measured: Day on which the peers were measured.
        pairs: Over how many pairs.
        words: Over which.
        snr_db: Input SNRs of ``Peer.pesq_by_snr``.
        noisy: What the unprocessed input of these pairs scores, by measure, rounded as in the table.
        paper: Wu et al., arXiv:1906.01078.
        peers: The systems.
    """

    measured: str
    pairs: int
    words: str
    snr_db: tuple[float, ...]
    noisy: dict[str, float]
    paper: Paper
    peers: tuple[Peer, ...]

    def same_pairs(self, count: int, noisy: dict[str, float | None]) -> bool:
        """Whether a set of so many pairs whose input scores so is the one that the peers were measured over.

        The recordings are not kept here, but no other set has the same means to the last digit that is.
        """
        digits = {"pesq": 2, "stoi": 3, "estoi": 3, "si_sdr": 1}
        means = ((noisy[measure], self.noisy[measure], places) for measure, places in digits.items())
        return count == self.pairs and all(mine is not None and round(mine, places) == theirs for mine, theirs, places in means)


@functools.cache
def reference() -> Reference:
    """The data that is shipped."""
    content: dict[str, Any] = tomllib.loads(Path(__file__).with_name("peers.toml").read_text())
    about, noisy = content["set"], dict(content["set"]["noisy"])
    noisy.pop("pesq_by_snr")
    return Reference(
        about["measured"],
        about["pairs"],
        about["words"],
        tuple(about["snr_db"]),
        noisy,
        Paper(**_frozen(content["paper"])),
        tuple(Peer(**_frozen(row)) for row in content["peer"]),
    )


def _frozen(table: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
