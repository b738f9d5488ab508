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
    """An opened contender."""

    def encode(self, picture: Picture, quality: float) -> bytes:
        """A whole file."""
        ...

    def decode(self, data: bytes, channels: int) -> Picture:
        """The picture of a file."""
        ...

    def payload_bytes(self, data: bytes) -> int | None:
        """Bytes of a file without headers and metadata; None where the codec does not tell them apart."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """What is known only now, for the provenance: threads, for example."""
        ...


@runtime_checkable
class Contender(Protocol):
    """A codec with its settings.

    Attributes:
        key: short and unique; names the results file.
        name: as in tables and legends.
        qualities: settings to measure at, on the codec's own scale.
    """

    @property
    def key(self) -> str: ...  # noqa: D102 (see above)
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def qualities(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def description(self) -> str:
        """Settings and version in words."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Whatever changes its results; results of other settings are never mixed with these."""
        ...

    def open(self) -> Coder:
        """Load what coding needs."""
        ...


@dataclass(frozen=True)
class ModelContender:
    """A model of trimix.

    Attributes:
        key: name of the results file.
        name: of the model.
        path: of its weights file.
        model_hash: of its weights, hexadecimal.
        qualities: 1 .. 100.
        device: ``cpu`` or ``cuda``.
        threads: of the networks on the CPU; None for torch's own choice.
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
        return (
            f"trimix {__version__}, model {self.name}, hash {self.model_hash}, on {self.device}, effort {self.effort}"
        )

    def settings(self) -> Mapping[str, Any]:
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
class PeerContender:
    """Another codec.

    Attributes:
        key: short name of the codec.
        name: as in tables.
        settings_text: in words.
        version: of the program or library.
        qualities: on the codec's own scale.
    """

    key: str
    name: str
    settings_text: str
    version: str
    qualities: tuple[float, ...]

    @property
    def description(self) -> str:
        """Settings and version."""
        return f"{self.settings_text}; {self.version}"

    def settings(self) -> Mapping[str, Any]:
        """Settings and version."""
        return {
            "codec": self.name,
            "codec_version": self.version,
            "codec_settings": self.settings_text,
            "qualities": list(self.qualities),
        }

    def open(self) -> "PeerContender":
        """Itself: the codec is looked up by its key, for not every one can be sent to another process."""
        return self

    def encode(self, picture: Picture, quality: float) -> bytes:
        """A whole file."""
        return ALL_PEERS[self.key].encode(picture, quality)

    def decode(self, data: bytes, channels: int) -> Picture:
        """The picture of a file."""
        return ALL_PEERS[self.key].decode(data, channels)

    def payload_bytes(self, data: bytes) -> None:
        """Not told apart."""

    def facts(self) -> Mapping[str, Any]:
        """None."""
        return {}


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
    # Two files may hold models of one name, as checkpoints of one training do: those go by their files' names.
    is_file = model not in (entry.name, entry.family)
    is_default = effort == DEFAULT_EFFORT
    return ModelContender(
        key=(entry.path.stem if is_file else model) + ("" if is_default else f"-effort-{effort}"),
        name=(entry.path.stem if is_file else entry.name) + ("" if is_default else f", effort {effort}"),
        path=entry.path.resolve(),
        model_hash=entry.weights_hash.hex(),
        qualities=tuple(float(quality) for quality in qualities),
        device=device,
        threads=threads,
        effort=effort,
    )


def find_peer_contenders(
    asked: Mapping[str, tuple[float, ...] | None], group: str | None = None
) -> tuple[list[PeerContender], list[str]]:
    """Other codecs, by name and by group.

    Args:
        asked: qualities by short name; None for those that the codec brings along.
        group: ``default`` or ``all``: further ones, where they are installed.

    Returns:
        The codecs, and which of the group are not installed and why.

    Raises:
        UsageError: one that is asked for is unknown or not installed, or has no such quality.
    """
    found = {
        peer.key: _peer_contender(peer, qualities)
        for peer, qualities in zip(find_peers(list(asked)), asked.values(), strict=True)
    }
    notes = []
    for peer in {"default": DEFAULT_PEERS, "all": tuple(ALL_PEERS.values())}.get(group or "", ()):
        if peer.obstacle is not None:
            notes.append(f"{peer.name} {peer.obstacle}")
        elif peer.key not in found:
            found[peer.key] = _peer_contender(peer, None)
    return list(found.values()), notes


def _peer_contender(peer: Peer, qualities: tuple[float, ...] | None) -> PeerContender:
    chosen = qualities or peer.qualities
    checked = tuple(float(peer.scale.checked(quality, peer.name)) for quality in chosen)
    return PeerContender(peer.key, peer.name, peer.settings, peer.version, checked)


class _ModelCoder:
    def __init__(self, codec: Any, effort: int) -> None:
        self._codec = codec
        self._effort = effort

    def encode(self, picture: Picture, quality: float) -> bytes:
        return self._codec.encode(picture, quality, self._effort)

    def decode(self, data: bytes, channels: int) -> Picture:
        return self._codec.decode(data)

    def payload_bytes(self, data: bytes) -> int | None:
        return describe(data).payload_bytes

    def facts(self) -> Mapping[str, Any]:
        from trimix.frozen.onnx_engine import thread_count

        facts: dict[str, Any] = {"threads": thread_count(), "effort": self._effort}
        if self._codec.device.startswith("cuda"):
            import torch

            facts["gpu"] = torch.cuda.get_device_name(self._codec.device)
        return facts
