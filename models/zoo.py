"""Loading variants: one ONNX file and one card each, checked before anything runs.

Layout: ``<zoo>/<model>/<variant>.onnx`` and ``<variant>.json``. ``SHIPPED`` is the folder with the shipped ones.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import logging
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.card import FAMILIES, VARIANTS, CardError, Family, VariantCard, VariantName, load_card

SHIPPED = Path(__file__).parent / "zoo"
FORMAT = "1"
Array = npt.NDArray[np.float32]
log = logging.getLogger(__name__)


class ZooError(Exception):
    """A variant that cannot be loaded; the message names the file and the remedy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """A loaded network, ready to step many streams at once; one that is loaded again is another one.

    Attributes:
        card: What it is and costs.
        sample_rate: In Hz.
        hop: Samples per step.
        delay: Samples by which output lags behind input.
        initial_state: ``[state_size]`` row of a stream that has heard only silence.
        session: The ONNX Runtime session; safe to run from several threads.
    """

    card: VariantCard
    sample_rate: int
    hop: int
    delay: int
    initial_state: Array
    session: onnxruntime.InferenceSession

    @property
    def name(self) -> str:
        """``model/variant``."""
        return f"{self.card.model}/{self.card.variant}"

    @property
    def state_size(self) -> int:
        """Floats of one state row."""
        return len(self.initial_state)

    def step(self, audio: Array, state: Array) -> tuple[Array, Array]:
        """Enhance ``[batch, hops * hop]`` samples with states ``[batch, state_size]``; gives both anew."""
        enhanced, following = self.session.run(None, {"audio": audio, "state": state})
        return enhanced, following


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    """Options for serving: threads that sleep when idle, and none that are not needed."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return options


def encode_state(row: Array) -> str:
    """A state row as text for the metadata."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(row, dtype="<f4").tobytes(), 9)).decode()


def decode_state(text: str) -> Array:
    """The inverse of ``encode_state``.

    Raises:
        ValueError: Not such a text.
    """
    try:
        return np.frombuffer(zlib.decompress(base64.b64decode(text, validate=True)), dtype="<f4").copy()
    except zlib.error as error:
        raise ValueError("not a compressed state") from error


def load_variant(path: Path, threads: int = 1) -> Variant:
    """Load ``<variant>.onnx`` with the card beside it.

    Raises:
        ZooError: The file or card is missing or damaged, they do not belong together, or the network does not do
            what its metadata says.
    """
    remedy = f"restore the file from the release or export it again with `quietwire export --zoo {path.parent.parent}`"
    try:
        card = load_card(path.with_suffix(".json"))
        content = path.read_bytes()
    except OSError as error:
        raise ZooError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except CardError as error:
        raise ZooError(str(error)) from error
    if hashlib.sha256(content).hexdigest() != card.sha256:
        raise ZooError(f"{path}: SHA-256 differs from the card's, the file is damaged or was replaced; {remedy}")
    try:
        session = onnxruntime.InferenceSession(content, session_options(threads), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises kinds that it does not export
        raise ZooError(f"{path}: ONNX Runtime cannot load it ({error}); {remedy}") from error
    metadata = session.get_modelmeta().custom_metadata_map
    try:
        variant = Variant(
            card=card,
            sample_rate=int(metadata["sample_rate"]),
            hop=int(metadata["hop"]),
            delay=int(metadata["delay"]),
            initial_state=decode_state(metadata["initial_state"]),
            session=session,
        )
        said = metadata["format"], metadata["family"], metadata["variant"], int(metadata["state_size"])
    except (KeyError, ValueError) as error:
        raise ZooError(f"{path}: metadata entry missing or malformed ({error}); {remedy}") from error
    if said != (FORMAT, card.model, card.variant, variant.state_size):
        raise ZooError(f"{path}: metadata {said} does not fit the card or this program's format {FORMAT}; {remedy}")
    _check_shapes(path, variant, remedy)
    return variant


def preferred_variant(folder: Path, model: Family) -> VariantName:
    """What to load where nobody names a variant: ``combined`` where it exists, else ``original``."""
    return "combined" if (folder / model / "combined.onnx").exists() else "original"


def _check_shapes(path: Path, variant: Variant, remedy: str) -> None:
    """Run two hops of two streams and look at what comes out."""
    audio = np.zeros((2, 2 * variant.hop), dtype=np.float32)
    state = np.tile(variant.initial_state, (2, 1))
    try:
        enhanced, following = variant.step(audio, state)
    except Exception as error:
        raise ZooError(f"{path}: a trial step failed ({error}); {remedy}") from error
    if enhanced.shape != audio.shape or following.shape != state.shape:
        raise ZooError(f"{path}: a trial step gave shapes {enhanced.shape} and {following.shape}; {remedy}")
    if not (np.isfinite(enhanced).all() and np.isfinite(following).all()):
        raise ZooError(f"{path}: a trial step on silence gave values that are not finite; {remedy}")


@dataclasses.dataclass(frozen=True)
class Zoo:
    """Loaded variants by model and name.

    Attributes:
        variants: Those that can be used.
        failures: Why others could not be loaded, by ``model/variant``.
        outdated: The same of variants whose file has changed: what was loaded before can be used.
    """

    variants: dict[tuple[Family, VariantName], Variant]
    failures: dict[str, str]
    outdated: dict[str, str] = dataclasses.field(default_factory=dict)

    def get(self, model: str, variant: str) -> Variant | None:
        """The variant, or None when it is not loaded."""
        return self.variants.get(cast("tuple[Family, VariantName]", (model, variant)))

    @property
    def names(self) -> list[str]:
        """``model/variant`` of all that are loaded."""
        return [variant.name for variant in self.variants.values()]

    @property
    def of_another(self) -> list[str]:
        """``model/variant`` of those made of another ``original`` than the one beside them."""
        originals = {model: variant.card for (model, name), variant in self.variants.items() if name == "original"}
        return [variant.name for variant in self.variants.values() if variant.card.of_another(originals)]


def load_zoo(folder: Path = SHIPPED, only: Iterable[str] | None = None, threads: int = 1, former: Zoo | None = None) -> Zoo:
    """Load every variant below a folder; one that is damaged is left out and does not stop the others.

    Args:
        folder: Holds ``<model>/<variant>.onnx``.
        only: Names ``model/variant`` to load; all when None.
        threads: Threads of ONNX Runtime for one step.
        former: Loaded from the folder before: what has not changed since is taken from it, and what is damaged now as well.

    Raises:
        ZooError: Nothing could be loaded, or a name in ``only`` is unknown.
    """
    known = {f"{model}/{variant}": (model, variant) for model in FAMILIES for variant in VARIANTS}
    wanted = list(known) if only is None else list(only)
    if unknown := [name for name in wanted if name not in known]:
        raise ZooError(f"unknown variant {unknown[0]!r}: use one of {', '.join(known)}")
    zoo, before = Zoo({}, {}), former.variants if former else {}
    for name in wanted:
        path = folder / f"{name}.onnx"
        if only is None and not path.exists() and not path.with_suffix(".json").exists():
            continue
        old = before.get(known[name])
        if old is not None and _unchanged(path, old):
            zoo.variants[known[name]] = old
            continue
        try:
            zoo.variants[known[name]] = load_variant(path, threads)
        except ZooError as error:
            log.error("%s%s", error, "" if old is None else "; the one that was loaded before stays")
            if old is not None:
                zoo.variants[known[name]] = old
            (zoo.failures if old is None else zoo.outdated)[name] = str(error)
    if not zoo.variants:
        reasons = "; ".join(zoo.failures.values()) or f"no <model>/<variant>.onnx below {folder}"
        raise ZooError(f"no variant could be loaded: {reasons}")
    if names := zoo.of_another:
        log.warning("%s: made of another original than the one in %s, so not to be compared with it", ", ".join(names), folder)
    return zoo


def _unchanged(path: Path, variant: Variant) -> bool:
    """Whether a file and its card are still what a variant was loaded from."""
    try:
        card = load_card(path.with_suffix(".json"))
        return card == variant.card and hashlib.sha256(path.read_bytes()).hexdigest() == card.sha256
    except (OSError, CardError):
        return False
