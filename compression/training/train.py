"""The training loop: seeded, resumable, with a moving average of the weights and the best checkpoint kept."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compression.data.batches import Aimed, Batch, Batches, series
from compression.errors import CheckpointError
from compression.losses.enhancement import enhancement_loss
from compression.training.checkpoint import load_checkpoint, log_row, save_checkpoint
from compression.training.optimizer import Optimizers
from compression.training.progress import Progress, say
from compression.training.recipe import LOSS_ENTRIES, Recipe, TrainingSettings
from compression.training.stopping import stop_on_signals
from compression.training.stretches import Listener, stretched
from compression.training.validation import alike, excerpt, validate
from models.fcn import Fcn
from models.network import StreamingNetwork

SAVE_SECONDS = 600.0  # after which checkpoint.pt is written anew, however far the next validation is
VALIDATION_DEFAULTS = {name: getattr(TrainingSettings(), name) for name in (*LOSS_ENTRIES, "validation_batches")}


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Rise, plateau, linear fall to zero."""
    rise = min(1.0, (step + 1) / max(1, settings.warmup))
    fall = min(1.0, (settings.steps - step) / max(1, settings.cooldown))
    return settings.learning_rate * min(rise, fall)


class Trainer:
    """One run in one folder: ``checkpoint.pt`` (newest), ``best.pt`` (lowest validation loss), ``log.jsonl``.

    Args:
        recipe: Network and numbers.
        train: Batches; those with a third tensor are a teacher's examples.
        valid: Batches for validation, of ``(noisy, clean)``.
        folder: Where the run is kept; a run found there is resumed.
        device: Where to train.
        initial: Checkpoint to begin with when the folder has none: weights, optimiser and hours; steps count from 0.
        network: Begin with this one, of the recipe's widths, rather than with random weights.
        mixers: Processes that make batches ahead.
        teacher: Fingerprint of the network whose examples are in ``train``, to be kept; None for none.

    Raises:
        CheckpointError: The checkpoint to go on from is damaged, or of another network than the recipe's, or nothing can be
            written into the folder.
    """

    def __init__(
        self,
        recipe: Recipe,
        train: Batches,
        valid: Batches,
        folder: Path,
        device: torch.device,
        initial: Path | None = None,
        network: StreamingNetwork | None = None,
        mixers: int = 0,
        teacher: str | None = None,
    ) -> None:
        self.settings, self.folder, self.device, self.mixers = recipe.training, folder, device, mixers
        self.teacher = teacher
        self.valid, self.train = Aimed(valid, self.settings.kept), Aimed(train, self.settings.kept)
        torch.manual_seed(self.settings.seed)
        self.hyperparameters = recipe.network
        start = recipe.build() if network is None else network
        self.network = copy.deepcopy(start).to(device)
        self.average = copy.deepcopy(start).to(device)  # once on a device, a parametrized network cannot be copied
        if self.settings.keep_memory and isinstance(self.network, Fcn):
            for part in self.network.taught_apart:
                part.requires_grad_(False)
        self.listen = Listener(self.settings.stretches)
        self.optimizer = Optimizers(self.network, self.settings.learning_rate, self.settings.weight_decay, self.settings.soap)
        self.step, self.hours, self.best = 0, 0.0, float("inf")
        self.heard: Tensor | None = None  # excerpt of what best was measured over
        self.left_out = 0  # steps whose gradient was not finite, since this run was opened
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"{folder} cannot be made ({error.strerror}): use another --run") from error
        newest = folder / "checkpoint.pt"
        if newest.exists():
            self._take_teacher(self._restore(newest))
            if initial is not None:
                say(f"{folder} has a run, which goes on; {initial} is left aside: name another --run to begin with it")
        elif initial is not None:
            self._restore(initial)
            self.step, self.best, self.listen.state = 0, float("inf"), None  # a run of its own

    def _restore(self, path: Path) -> dict[str, Any]:
        content = load_checkpoint(path)
        try:
            self._load(content)
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(f"{path} is of another network than the recipe's: use its recipe or another --run") from error
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is damaged: restore it or use another --run") from error
        return content

    def _take_teacher(self, content: dict[str, Any]) -> None:
        """Tell that a run goes on with another teacher; one that has had its steps keeps its own."""
        former = content.get("teacher", self.teacher)  # nobody wrote it down before
        if self.step >= self.settings.steps:
            self.teacher = former
        elif former != self.teacher:
            before = "no teacher" if former is None else "another teacher"
            now = "without one" if self.teacher is None else "with this one"
            say(f"{self.folder} has a run that was taught by {before} and goes on {now}: name another --run to begin anew")

    def _load(self, content: dict[str, Any]) -> None:
        self.average.load_state_dict(content["average"])
        self.network.load_state_dict(content["weights"] or content["average"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.hours, self.best = content["step"], content["hours"], content["best"]
        state = content.get("state")
        self.listen.state = None if state is None else state.to(self.device)
        former = {name: content["settings"].get(name, default) for name, default in VALIDATION_DEFAULTS.items()}
        if former != {name: getattr(self.settings, name) for name in VALIDATION_DEFAULTS}:
            self.best = float("inf")  # of another loss, or over more or fewer mixtures: it says nothing about this one
        self.heard = content.get("heard")
        if self.heard is not None and not alike(self.heard, excerpt(self.valid)):
            self.best, self.heard = float("inf"), None  # over other recordings

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "network": self.hyperparameters,
            "settings": dataclasses.asdict(self.settings),
            "weights": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": self.listen.state,
            "step": self.step,
            "hours": self.hours,
            "best": self.best,
            "heard": self.heard,
            "teacher": self.teacher,
        }

    def run(self, budget_seconds: float = float("inf")) -> bool:
        """Train until the recipe's steps are done, the budget is spent or SIGINT or SIGTERM comes; then save.

        ``checkpoint.pt`` is also written at every validation and every ten minutes.

        Returns:
            Whether all is done and nobody asked to stop.

        Raises:
            CheckpointError: The training has diverged, or nothing can be written into the folder.
        """
        if self.step >= self.settings.steps:
            say(f"{self.folder} has had its {self.settings.steps} steps: only more of them would train it on")
        progress = Progress(self.settings, self.step)
        batches = self._batches()
        saved = time.monotonic()
        with stop_on_signals() as stopped:
            while self.step < self.settings.steps and not stopped() and progress.elapsed < budget_seconds:
                loss = self._step(next(batches))
                progress.show(self.step, loss, self.left_out)
                if self.step % self.settings.validate_every == 0 or self.step == self.settings.steps:
                    self._validate(progress)
                    saved = time.monotonic()
                elif time.monotonic() - saved >= SAVE_SECONDS:
                    self._save("checkpoint.pt")
                    saved = time.monotonic()
            asked = stopped()
        self._save("checkpoint.pt")
        return self.step >= self.settings.steps and not asked

    def _batches(self) -> Iterator[Batch]:
        stretches, network = self.settings.stretches, self.network
        begins = range(self.step - stretches + 1, self.settings.steps)
        examples = series(self.train, self.settings.seed, begins, self.mixers)
        if stretches == 1:
            return examples
        return stretched(examples, self.step, stretches, network.hop, network.delay)

    def _step(self, batch: Batch) -> float:
        self.optimizer.set_learning_rate(learning_rate(self.settings, self.step))
        self._set_training_mode()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.settings.bfloat16):
            estimate, (noisy, clean, *targets) = self.listen(self.network, batch, self.step)
        weights, share = self.settings.loss_weights, self.settings.distillation
        loss = enhancement_loss(estimate.float(), noisy, clean, weights, *targets, share=share)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        else:
            self.left_out += 1
        self.step += 1
        self.hours += noisy.numel() / self.network.sample_rate / 3600
        self._update_average()
        return loss.item()

    def _set_training_mode(self) -> None:
        self.network.train()
        frozen = self.settings.freeze_norm_after
        if frozen and self.step >= frozen:
            for module in self.network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        for average, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current, 1 - decay)
        for kept, newest in zip(self.average.buffers(), self.network.buffers(), strict=True):
            if newest.is_floating_point():  # statistics of the newest weights would not fit the averaged ones
                kept.lerp_(newest, 1 - decay)
            else:
                kept.copy_(newest)

    def _validate(self, progress: Progress) -> None:
        scores = validate(self.average, self.valid, self.settings.validation_batches, self.settings.loss_weights)
        improved = scores["loss"] < self.best
        self.best = min(self.best, scores["loss"])
        self.heard = excerpt(self.valid) if self.heard is None else self.heard
        rates = {"train_loss": progress.mean_loss(), "learning_rate": learning_rate(self.settings, self.step)}
        row = {"step": self.step, "hours": self.hours, "left_out": self.left_out, **rates, **scores}
        self._save("checkpoint.pt", *["best.pt"] * improved)
        log_row(self.folder / "log.jsonl", {key: round(value, 6) for key, value in row.items()})
        text = f"validation: loss {scores['loss']:.3f}, SI-SDR {scores['si_sdr']:.2f} dB ({scores['si_sdr_gain']:+.2f})"
        say(f"step {self.step}: {text}{', best so far' if improved else ''}")

    def _save(self, *names: str) -> None:
        """Write checkpoints of what is there now; a network that nothing can be made of leaves the former ones."""
        for network in (self.network, self.average):
            if not all(torch.isfinite(value).all() for value in network.state_dict().values()):
                newest = self.folder / "checkpoint.pt"
                raise CheckpointError(
                    f"the training has diverged before step {self.step}: {newest} is as it was before; lower learning_rate"
                )
        content = self.content()
        for name in names:
            save_checkpoint(self.folder / name, content)
