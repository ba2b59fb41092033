"""Which weights a stage of compression goes on with once its training is over."""

import json
from pathlib import Path

import pytest
import torch

from compression.pipeline.stages import load_trained
from compression.training.checkpoint import save_checkpoint

ROW = {"si_sdr": 0.0, "si_sdr_gain": 0.0}


def write(folder: Path, name: str, weight: float, step: int, best: float) -> None:
    content = {"network": {}, "settings": {}, "weights": None, "optimizer": {}, "hours": 1.0, "step": step, "best": best}
    save_checkpoint(folder / name, content | {"average": {"weight": torch.full((1, 1), weight)}})


@pytest.mark.parametrize(
    ("end", "best", "chosen"), [(0.9, 0.8, "end"), (1.2, 0.8, "best"), (1.2, 1.1, "own"), (float("nan"), 0.8, "best")]
)
def test_the_end_is_gone_on_with_unless_it_is_worse_than_the_beginning(
    end: float, best: float, chosen: str, tmp_path: Path
) -> None:
    write(tmp_path, "best.pt", 2.0, 10, best)
    write(tmp_path, "checkpoint.pt", 3.0, 20, best)
    rows = [{"step": 10, "hours": 1.0, "loss": best, **ROW}, {"step": 20, "hours": 1.0, "loss": end, **ROW}]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(network.weight, 1.0)
    load_trained(network, tmp_path, before=1.0)
    assert network.weight.item() == {"own": 1.0, "best": 2.0, "end": 3.0}[chosen]
