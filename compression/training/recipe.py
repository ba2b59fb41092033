"""One TOML file says how a network is built and trained; mistakes in it are refused before hours are spent."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from compression.data.mixing import MixingSettings
from compression.errors import RecipeError
from compression.losses.enhancement import LossWeights
from compression.losses.perceptual import SHORTEST_EXAMPLE
from compression.losses.residual import Residual
from compression.tables import read_tables, refuse_idle, settings_from
from models.crn import Crn, CrnConfig
from models.fcn import Fcn, FcnConfig
from models.network import StreamingNetwork

WEIGHTS = (
    "sdr_weight",
    "disturbance_weight",
    "intelligibility_weight",
    "attenuation_weight",
    "speechless_weight",
    "emphasised_sdr_weight",
)
LOSS_ENTRIES = (*WEIGHTS, "residual", "residual_hold")
AIMS = (*LOSS_ENTRIES, "distillation")  # that [memory] takes from [training] where it does not name its own
INHERITED = (*AIMS, "batch", "seconds", "stretches", "bfloat16")  # that [polish] does

ALONE = {"distillation": "there is no teacher; name one with --teacher"}
FOLDED = {"freeze_norm_after": "normalisation is folded"}
IDLE = {  # entries that do nothing in a table, and why
    "training": ALONE,
    "polish": ALONE | FOLDED,
    "memory": ALONE | {"freeze_norm_after": "normalisation stays as it is", "keep_memory": "the memory is what is taught"},
}


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Numbers of a training run.

    Attributes:
        seed: Of weights and mixtures.
        steps: Length of the run; a later run may raise it and go on.
        cooldown: Last steps, over which the learning rate falls linearly to zero.
        warmup: First steps, over which it rises.
        batch: Examples a step.
        seconds: Length of an example, or of its stretch, which is cut to whole hops.
        stretches: Steps over which an example goes on, the network's state carried from one to the next: what a network hears
            after ten seconds costs no more than what it hears in the first. A share of ``batch`` is in each stretch.
        learning_rate: Between warm-up and cooldown.
        weight_decay: Share of the learning rate by which weights are drawn to zero.
        soap: Weight matrices and filters are trained by SOAP, the rest by AdamW, which otherwise trains all.
        clip: Largest norm of the gradient.
        average: Decay per step of the moving average of the weights, which is what is kept.
        validate_every: Steps between validations, each followed by a checkpoint.
        validation_batches: Of eight mixtures of 3 s each. 16 of them do not tell networks apart whose losses differ by .03.
        sdr_weight: Of the signal-to-distortion ratio, in bel, beside the spectral loss.
        disturbance_weight: Of the loudness disturbance, in units of raw PESQ.
        intelligibility_weight: Of 1 less the correlation of envelopes.
        attenuation_weight: Of speech that is lowered by more than 3 dB where it is louder than the noise, in bel: more
            of what is hard to tell from noise is kept.
        speechless_weight: Of what is left of noise where nobody speaks, in bel above -30 dB.
        emphasised_sdr_weight: Of the signal-to-distortion ratio after pre-emphasis, in bel. Speech has little energy above
            1 kHz, and the plain ratio asks nothing of a network there.
        residual: Share of the noise that the output is to keep, as an amplitude: 0.03 is -30 dB. A small network that aims at
            silence takes weak speech away with the noise.
        residual_hold: Seconds for which it is kept after speech; -1 for everywhere, also where nobody speaks.
        distillation: Share of the loss against the teacher's output, where there is a teacher.
        freeze_norm_after: Step from which (unless 0) normalisation uses its running statistics, as in serving. A network that
            knows absolute levels (``fcn``) learns faster so: the statistics of a small batch change with its levels. -1 for
            a trained network, so that not even the first batch changes them.
        keep_memory: The memory of an ``fcn``, and what it asks of its gate, stay as they were taught: a step of two seconds
            through all layers teaches a GRU next to nothing.
        bfloat16: Matrix products and convolutions in bfloat16 (weights stay in float32).
    """

    seed: int = 1
    steps: int = 10000
    cooldown: int = 1000
    warmup: int = 500
    batch: int = 8
    seconds: float = 2.0
    stretches: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    soap: bool = False
    clip: float = 2.0
    average: float = 0.999
    validate_every: int = 500
    validation_batches: int = 16
    sdr_weight: float = 1.0
    disturbance_weight: float = 0.0
    intelligibility_weight: float = 0.0
    attenuation_weight: float = 0.0
    speechless_weight: float = 0.0
    emphasised_sdr_weight: float = 0.0
    residual: float = 0.0
    residual_hold: float = -1.0
    distillation: float = 0.5
    freeze_norm_after: int = 0
    keep_memory: bool = False
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.validate_every, self.validation_batches) < 1:
            raise ValueError("steps, batch, validate_every and validation_batches must be at least 1")
        if self.stretches < 1 or self.batch % self.stretches:
            raise ValueError("stretches must be at least 1, and batch a multiple of it")
        if not 0 <= self.cooldown <= self.steps:
            raise ValueError("cooldown must lie between 0 and steps")
        if not 0.25 <= self.seconds <= 60:
            raise ValueError("seconds must lie between 0.25 and 60")
        if (self.disturbance_weight or self.intelligibility_weight) and self.seconds < SHORTEST_EXAMPLE:
            raise ValueError(f"disturbance_weight and intelligibility_weight need seconds of at least {SHORTEST_EXAMPLE}")
        if not 0 <= self.distillation <= 1:
            raise ValueError("distillation must lie between 0 and 1")
        if not 0 <= self.residual < 1:
            raise ValueError("residual must be at least 0 and below 1")
        if self.residual_hold < 0 and self.residual_hold != -1:
            raise ValueError("residual_hold must not be negative, or -1 for everywhere")
        if self.weight_decay < 0 or self.clip <= 0:
            raise ValueError("weight_decay must not be negative, and clip must be above 0")
        if min(getattr(self, weight) for weight in WEIGHTS) < 0:
            raise ValueError(f"{', '.join(WEIGHTS)} must not be negative")
        if not 0 < self.learning_rate < 1 or not 0 <= self.average < 1:
            raise ValueError("learning_rate must lie between 0 and 1, average between 0 and 1")

    @property
    def examples(self) -> tuple[int, float]:
        """How many examples begin at a step, and their length in seconds."""
        return self.batch // self.stretches, self.seconds * self.stretches

    @property
    def loss_weights(self) -> LossWeights:
        """Of the parts of the loss beside the spectral one."""
        return LossWeights(**{weight.removesuffix("_weight"): getattr(self, weight) for weight in WEIGHTS})

    @property
    def kept(self) -> Residual:
        """What the output is to keep of the noise."""
        return Residual(self.residual, self.residual_hold)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A parsed settings file.

    Attributes:
        network: Its ``family`` and widths.
        training: Of the network.
        mixing: Of speech and noise.
        polish: A second training, see ``compression.pipeline.polish``, of the same loss and batches where it does not name
            others; None for none.
        memory: A training before it, see ``compression.training.memory_lesson``, likewise.
    """

    network: dict[str, Any]
    training: TrainingSettings
    mixing: MixingSettings
    polish: TrainingSettings | None = None
    memory: TrainingSettings | None = None

    def build(self) -> StreamingNetwork:
        """A new network with random weights."""
        return build_network(self.network)

    def with_steps(self, steps: int) -> Recipe:
        """The same recipe for a shorter or longer run.

        Raises:
            RecipeError: Too short for the cooldown.
        """
        try:
            return dataclasses.replace(self, training=dataclasses.replace(self.training, steps=steps))
        except ValueError as error:
            raise RecipeError(f"{steps} steps do not fit the recipe: {error}") from error


def build_network(hyperparameters: dict[str, Any]) -> StreamingNetwork:
    """Network from its ``family`` and the arguments of its configuration.

    Raises:
        ValueError: Unknown family or argument, or a width out of range.
        TypeError: Not a table, or an argument of another kind.
    """
    if not isinstance(hyperparameters, dict):
        raise TypeError("network must be a table: write [network]")
    arguments = dict(hyperparameters)
    family = arguments.pop("family", None)
    if family == "crn":
        return Crn(settings_from(CrnConfig, arguments, "network"))
    if family == "fcn":
        return Fcn(settings_from(FcnConfig, arguments, "network"))
    raise ValueError(f"unknown family {family!r}: use 'crn' or 'fcn'")


def load_recipe(path: Path, *, taught: bool = False) -> Recipe:
    """Read and check a settings file.

    Args:
        path: Of the file.
        taught: There is a teacher.

    Raises:
        RecipeError: It is missing, is not TOML, or has an entry that is unknown or out of range.
    """
    tables = read_tables(path)
    try:
        if unknown := set(tables) - {"network", "memory", "training", "mixing", "polish"}:
            raise ValueError(f"unknown table [{unknown.pop()}]; use [network], [memory], [training], [mixing] and [polish]")
        for name, idle in IDLE.items():
            useless = {entry: why for entry, why in idle.items() if not (taught and entry in ALONE)}
            refuse_idle(TrainingSettings, tables.get(name, {}), name, useless)
        training = settings_from(TrainingSettings, tables.get("training", {}), "training")
        mixing = settings_from(MixingSettings, tables.get("mixing", {}), "mixing")
        same = {name: getattr(training, name) for name in INHERITED}
        polish = fine_settings_from(tables["polish"], "polish", same) if "polish" in tables else None
        memory = None
        if "memory" in tables:
            memory = fine_settings_from(tables["memory"], "memory", {name: same[name] for name in AIMS})
        recipe = Recipe(tables.get("network", {}), training, mixing, polish, memory)
        network = recipe.build()
        if training.keep_memory:
            _check_memory(network, "keep_memory")
        if memory is not None:
            _check_memory(network, "[memory]")
            if memory.stretches != 1:
                raise ValueError("stretches in [memory] must be 1: its examples are heard whole")
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error
    return recipe


def _check_memory(network: StreamingNetwork, entry: str) -> None:
    if not isinstance(network, Fcn) or not network.config.memory_units:
        raise ValueError(f"{entry} needs memory_units in [network]")


def fine_settings_from(table: Any, name: str, usual: dict[str, Any] | None = None) -> TrainingSettings:
    """Numbers of a training over scales, as of centroids: no weight decay, unless the table says so.

    Args:
        table: As for ``settings_from``.
        name: As for ``settings_from``.
        usual: Entries that the table need not repeat.

    Raises:
        TypeError: As for ``settings_from``.
        ValueError: As for ``settings_from``.
    """
    usual = {"weight_decay": 0.0} | (usual or {})
    return settings_from(TrainingSettings, usual | table if isinstance(table, dict) else table, name)
