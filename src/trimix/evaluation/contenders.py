"""What is measured: models of trimix and other codecs, behind one interface.

A contender says what it is and how it is set, and can be sent to another process; there it is opened.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from trimix import __version__
from trimix.bitstream import describe
from trimix.encoder.effort import DEFAULT_EFFORT, EFFORT_REVISION, search_steps
from trimix.errors import ModelError, UsageError
from trimix.evaluation.peers import ALL_PEERS, DEFAULT_PEERS, Peer, find_peers
from trimix.frozen.catalogue import find_model
from trimix.images import Picture

DEFAULT_QUALITIES = tuple(float(quality) for quality in range(5, 100, 10))
"""Of models, where none are asked for."""


@runtime_checkable
class Coder(Protocol):
    """An opened contender.

    Its files are whole; `payload_bytes` are those without headers and metadata, None where the codec does not tell
    them apart; `facts` are what is known only now, for the provenance: threads, for example.
    """

    def encode(self, picture: Picture, quality: float) -> bytes: ...  # noqa: D102
    def decode(self, data: bytes, channels: int) -> Picture: ...  # noqa: D102
    def payload_bytes(self, data: bytes) -> int | None: ...  # noqa: D102
    def facts(self) -> Mapping[str, Any]: ...  # noqa: D102


@runtime_checkable
class Contender(Protocol):
    """A codec with its settings.

    Its key is short and unique, and names the results file; its name is that in tables; its qualities are those to
    measure at, on the codec's own scale; its description is settings and version in words; its identity is whatever
    changes its results: results of another are never mixed with these.
    """

    @property
    def key(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def qualities(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def description(self) -> str: ...  # noqa: D102
    def identity(self) -> Mapping[str, Any]: ...  # noqa: D102
    def open(self) -> Coder: ...  # noqa: D102


@dataclass(frozen=True)
class ModelContender:
    """A model of trimix.

    Attributes:
        path: of its weights file.
        model_hash: of its weights, hexadecimal.
        qualities: 1 .. 100.
        device: ``cpu`` or ``cuda``.
        threads: of the networks on the CPU; None for the library's own choice.
        effort: of the encoder, 1 .. 9.
    """

    key: str
    name: str
    path: Path
    model_hash: str
    qualities: tuple[float, ...]
    device: str = "cpu"
    threads: int | None = None
    effort: int = DEFAULT_EFFORT

    @property
    def description(self) -> str:
        """Version, hash, device and effort."""
        model = f"trimix {__version__}, model {self.name}, hash {self.model_hash}"
        return f"{model}, on {self.device}, effort {self.effort}"

    def identity(self) -> Mapping[str, Any]:
        """Model, versions, device, threads and effort."""
        import torch

        return {
            "codec": "trimix",
            "codec_version": __version__,
            "model": self.name,
            "model_hash": self.model_hash,
            "torch": torch.__version__,
            "device": self.device,
            "threads": self.threads,
            "qualities": list(self.qualities),
            "effort": self.effort,
            "effort_revision": EFFORT_REVISION,
        }

    def open(self) -> Coder:
        """Load the weights.

        Raises:
            ModelError: the file is damaged, or has been replaced since the contender was made.
        """
        from trimix.codec import Codec

        if self.threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(self.threads)
        codec = Codec.load(self.path, self.device)
        found = codec.model.identity.weights_hash.hex()
        if found != self.model_hash:
            raise ModelError(
                f"{self.path}: must stay the model with hash {self.model_hash}, found {found}; start again"
            )
        return _ModelCoder(codec, self.effort)


@dataclass(frozen=True)
class _ModelCoder:
    codec: Any
    effort: int

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self.codec.encode(picture, quality, self.effort)

    def decode(self, data: bytes, channels: int) -> Picture:
        return self.codec.decode(data)

    def payload_bytes(self, data: bytes) -> int | None:
        return describe(data).payload_bytes

    def facts(self) -> Mapping[str, Any]:
        from trimix.threads import thread_count

        facts: dict[str, Any] = {"threads": thread_count(), "effort": self.effort}
        if self.codec.device.startswith("cuda"):
            import torch

            facts["gpu"] = torch.cuda.get_device_name(self.codec.device)
        return facts


def model_contender(
    model: str,
    qualities: Sequence[float] = DEFAULT_QUALITIES,
    device: str = "cpu",
    threads: int | None = None,
    effort: int = DEFAULT_EFFORT,
) -> ModelContender:
    """A model by name or file, at an effort that its key and its name tell where it is not the default.

    Raises:
        ModelError: there is none.
        UsageError: a quality or the effort is out of range.
    """
    search_steps(effort)
    for quality in qualities:
        if not 1 <= quality <= 100:
            raise UsageError(
                f"the quality of a model must be from 1 (smallest file) to 100 (best picture), found {quality:g}; "
                "change it"
            )
    entry = find_model(model)
    key, name = model, entry.name
    if model not in (entry.name, entry.family):
        # Two files may hold models of one name, as checkpoints of one training do: those go by their files' names.
        key = name = entry.path.stem
    if effort != DEFAULT_EFFORT:
        key, name = f"{key}-effort-{effort}", f"{name}, effort {effort}"
    path, weights_hash = entry.path.resolve(), entry.weights_hash.hex()
    return ModelContender(key, name, path, weights_hash, tuple(map(float, qualities)), device, threads, effort)


def find_peer_contenders(
    asked: Mapping[str, tuple[float, ...] | None], group: str | None = None
) -> tuple[list[Peer], list[str]]:
    """Other codecs, by name and by group; and which of the group are not installed and why.

    Args:
        asked: qualities by short name; None for those that the codec brings along.
        group: ``default`` or ``all``: further ones, where they are installed.

    Raises:
        UsageError: one that is asked for is unknown or not installed, or has no such quality.
    """
    found = [peer.at(asked[peer.key] or peer.qualities) for peer in find_peers(list(asked))]
    further = [
        peer
        for peer in {"default": DEFAULT_PEERS, "all": tuple(ALL_PEERS.values())}.get(group or "", ())
        if peer.key not in asked
    ]
    notes = [f"{peer.name} {peer.obstacle}" for peer in further if not peer.available]
    return [*found, *(peer.at(peer.qualities) for peer in further if peer.available)], notes
