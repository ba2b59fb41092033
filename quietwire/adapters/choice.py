"""Which network an adapter uses, and where it runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from models.card import Family, VariantName
from models.zoo import SHIPPED, Variant, load_variant, preferred_variant
from quietwire.adapters.frames import FrameEnhancer, LocalEnhancer
from quietwire.adapters.wire import WireEnhancer
from quietwire.client.options import StreamOptions


@dataclasses.dataclass(frozen=True)
class Choice:
    """The arguments that all adapters share.

    Attributes:
        model: ``crn`` or ``fcn``.
        variant: ``combined`` where it exists, else ``original``, when None; on a server, its default.
        attenuation_limit_db: Noise is lowered by at most this much.
        url: Of a server; the network runs in this process when None.
        token: API key of the server.
        wire_delay_ms: Constant delay with a server; see ``WireEnhancer``.
        zoo: Folder with the variants, for this process.
    """

    model: Family = "crn"
    variant: VariantName | None = None
    attenuation_limit_db: float = 100.0
    url: str | None = None
    token: str | None = None
    wire_delay_ms: float = 100.0
    zoo: Path = SHIPPED

    def load(self) -> Variant | None:
        """The network, or None where a server has it.

        Raises:
            ZooError: It is missing or damaged.
        """
        if self.url is not None:
            return None
        return load_variant(self.zoo / self.model / f"{self.variant or preferred_variant(self.zoo, self.model)}.onnx")

    def open(self, variant: Variant | None, sample_rate: int, channels: int) -> FrameEnhancer:
        """An enhancer for one signal, with what ``load`` gave."""
        if variant is not None:
            return LocalEnhancer(variant, sample_rate, channels, self.attenuation_limit_db)
        assert self.url is not None
        options = StreamOptions(model=self.model, variant=self.variant, attenuation_limit_db=self.attenuation_limit_db)
        return WireEnhancer(self.url, sample_rate, channels, delay_ms=self.wire_delay_ms, token=self.token, options=options)
