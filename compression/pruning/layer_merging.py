"""Two neighbouring full-band layers of a ``crn`` become one, side by side.

The second layer reads what the first has added: its own linear part, and what its GRU says. The linear part goes into the
second layer's weights as it is. What the GRU says goes in as far as it follows linearly from what the GRU reads, by least
squares; the rest is what is lost, and it is less than a layer that goes. One layer with the units of both is as many
operators as one: a single stream pays for each by the call, and units can be removed afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from compression.pruning.compensation import listen
from models.crn import ChannelNorm, Crn, CrnConfig, FullbandLayer

RIDGE = 1e-6  # of the mean power of what the GRU reads


@torch.no_grad()
def merged(network: Crn, first: str, second: str, inputs: Sequence[Tensor]) -> Crn:
    """The network in which the second layer does what both did.

    Args:
        network: In evaluation mode; left as it is.
        first: Name of the full-band layer that goes.
        second: Name of the one that follows without a sub-band layer in between.
        inputs: Signals ``[batch, samples]`` over which is measured what the GRU says.
    """
    former, latter = network.get_submodule(first), network.get_submodule(second)
    assert isinstance(former, FullbandLayer) and isinstance(latter, FullbandLayer)
    sizes = network.hyperparameters()
    blocks = [int(name.partition(".")[2]) for name in (first, second)]
    units = [0 if at == blocks[0] else width for at, width in enumerate(sizes["fullband_units"])]
    units[blocks[1]] += sizes["fullband_units"][blocks[0]]
    both = Crn(CrnConfig(**{**sizes, "fullband_units": tuple(units)})).eval()
    state = network.state_dict()
    joined = {f"{second}.{name}": value for name, value in _joined(former, latter, _said(network, former, inputs)).items()}
    both.load_state_dict({name: joined.get(name, state.get(name)) for name in both.state_dict()})
    layer = both.get_submodule(second)
    assert isinstance(layer, FullbandLayer)
    _settle(both, layer, inputs)
    return both.train(network.training)


def _said(network: Crn, layer: FullbandLayer, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What the layer's GRU says, as a linear map of what it reads: ``[units, units]`` and ``[units]``, float64."""
    size = layer.gru.input_size + 1
    read, said = torch.zeros(size, size, dtype=torch.float64), torch.zeros(size, size - 1, dtype=torch.float64)

    def add(module: nn.Module, arguments: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
        x = arguments[0].flatten(0, 1).double()
        x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
        read.add_(x.T @ x)
        said.add_(x.T @ output[0].flatten(0, 1).double())

    listen(network, inputs, [(layer.gru, add)])
    ridge = RIDGE * read.diagonal().mean() * torch.eye(size, dtype=read.dtype)
    answer = torch.linalg.solve(read + ridge, said)
    return answer[:-1].T, answer[-1]


def _joined(former: FullbandLayer, latter: FullbandLayer, said: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """The weights of both side by side; the norm behind them does nothing yet."""
    channels, reads = latter.expand_norm.num_features, latter.reduce.weight.double()
    bands = reads.shape[1] // channels
    (into, shift), (out, offset), (scale, end) = map(_affine, (former.reduce_norm, former.expand_norm, latter.expand_norm))
    out, offset, scale, end = (part.repeat(bands) for part in (out, offset, scale, end))
    expand, bias = out[:, None] * former.expand.weight.double(), out * former.expand.bias.double() + offset
    linear = reads @ expand @ (torch.eye(len(into), dtype=into.dtype) + said[0])
    seen = reads + linear @ (into[:, None] * former.reduce.weight.double())
    constant = linear @ shift + reads @ (expand @ said[1] + bias)
    before, behind = former.reduce_norm.state_dict(), latter.reduce_norm.state_dict()
    norm = {name: torch.cat([before[name], behind[name]]) for name in ("weight", "bias", "running_var")}
    norm["running_mean"] = torch.cat([before["running_mean"], behind["running_mean"] - constant])
    norm["num_batches_tracked"] = behind["num_batches_tracked"]
    nothing = ChannelNorm(channels)
    return {
        "reduce.weight": torch.cat([former.reduce.weight.double(), seen]),
        **{f"reduce_norm.{name}": value for name, value in norm.items()},
        **{f"gru.{name}": _apart(value, latter.gru.get_parameter(name)) for name, value in former.gru.named_parameters()},
        "expand.weight": torch.cat([expand, scale[:, None] * latter.expand.weight.double()], dim=1),
        "expand.bias": bias + scale * latter.expand.bias.double() + end,
        **{f"expand_norm.{name}": value for name, value in nothing.state_dict().items()},
        "expand_norm.running_var": torch.full((channels,), 1 - nothing.eps),
    }


def _affine(norm: ChannelNorm) -> tuple[Tensor, Tensor]:
    """Factor and summand that a norm comes to, float64."""
    state = {name: value.double() for name, value in norm.state_dict().items()}
    scale = state["weight"] / (state["running_var"] + norm.eps).sqrt()
    return scale, state["bias"] - scale * state["running_mean"]


def _apart(former: Tensor, latter: Tensor) -> Tensor:
    """Weights or biases of two GRUs that know nothing of each other, gate by gate."""
    join = torch.block_diag if former.ndim > 1 else lambda *parts: torch.cat(parts)
    return torch.cat([join(*gate) for gate in zip(former.chunk(3), latter.chunk(3), strict=True)])


def _settle(network: Crn, layer: FullbandLayer, inputs: Sequence[Tensor]) -> None:
    """Give the norm behind a layer the statistics of what it gets; its weights then make it do nothing, in training either."""
    norm, sums = layer.expand_norm, torch.zeros(3, layer.expand_norm.num_features, dtype=torch.float64)

    def add(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        values = output.reshape(-1, norm.num_features).double()
        sums.add_(torch.stack([torch.full_like(sums[0], len(values)), values.sum(0), values.square().sum(0)]))

    listen(network, inputs, [(layer.expand, add)])
    mean = sums[1] / sums[0]
    variance = (sums[2] / sums[0] - mean.square()).clamp(min=0)
    settled = {"running_mean": mean, "running_var": variance, "weight": (variance + norm.eps).sqrt(), "bias": mean}
    norm.load_state_dict({**norm.state_dict(), **settled})
