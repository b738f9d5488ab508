"""What a run of a table came to, in a file of its own: KEY.json."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimix.errors import UsageError
from trimix.evaluation.rate_points import RatePoint, mean_point
from trimix.images import write_atomically
from trimix.reproduction.plan import Run
from trimix.training.config import recorded_config


@dataclass(frozen=True)
class PictureRates:
    """Every picture of a set through one model.

    Args:
        bits_per_pixel: -log2 likelihood of rounded latents and hyper-latents, over the pixels of the picture.
        psnr_db: of 8-bit RGB.
    """

    bits_per_pixel: tuple[float, ...]
    psnr_db: tuple[float, ...]

    @property
    def mean(self) -> RatePoint:
        """Means over the pictures."""
        return mean_point(RatePoint(*values) for values in zip(self.bits_per_pixel, self.psnr_db, strict=True))


@dataclass(frozen=True)
class Record:
    """A run, as far as it has come.

    Args:
        rates: by steps done, then by set of pictures: one for each quality of a model of all rates.
        facts: of the training: seconds, gradient ratio, machine, versions.
        configuration: everything that decides what it comes to, with the fingerprints of the pictures.
    """

    key: str
    rates: Mapping[int, Mapping[str, tuple[PictureRates, ...]]]
    facts: Mapping[str, Any]
    configuration: Mapping[str, Any]

    @property
    def seed(self) -> int:
        """Of the run."""
        return self.configuration["training"]["seed"]

    @property
    def steps(self) -> int:
        """Of the last measurement; 0 before the first."""
        return max(self.rates, default=0)

    def write(self, path: Path) -> None:
        """Write it, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write_atomically(path, (json.dumps(asdict(self)) + "\n").encode(), overwrite=True)


def read_record(path: Path) -> Record:
    """Read what `Record.write` wrote.

    Raises:
        UsageError: it is missing or no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rates = {
            int(steps): {
                # One alone stands there by itself in earlier records.
                name: tuple(map(_rates_of, listed if isinstance(listed, list) else [listed]))
                for name, listed in sets.items()
            }
            for steps, sets in found["rates"].items()
        }
        return Record(str(found["key"]), rates, dict(found["facts"]), dict(found["configuration"]))
    except OSError as error:
        raise UsageError(f"{path}: a record of a run cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}: must be a record of a run, found {type(error).__name__} ({error}); remove it"
        ) from error


def _rates_of(values: Mapping[str, Any]) -> PictureRates:
    return PictureRates(tuple(values["bits_per_pixel"]), tuple(values["psnr_db"]))


def read_records(folder: Path) -> dict[str, Record]:
    """All records of a folder, by key.

    Raises:
        UsageError: there are none, or one is damaged.
    """
    records = {path.stem: read_record(path) for path in sorted(folder.glob("*-seed*.json"))}
    if not records:
        raise UsageError(f"{folder}: must hold records of runs, found none; train some first")
    return records


def configuration_of(run: Run, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """What a record says of a run, with the pictures' fingerprints: by it, a run of other settings is known."""
    # Records of one rate were there first, and say nothing of qualities.
    qualities = {"qualities": list(run.qualities)} if run.qualities else {}
    return qualities | {
        "variant": run.variant.key,
        "architecture": run.variant.architecture,
        "rate_distortion_lambda": run.rate_distortion_lambda,
        "starts_from": None if run.starts_from is None else run.starts_from.key,
        "training": json.loads(json.dumps(run.training)),
        "pictures": dict(fingerprints),
    }


def differing_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what differs between the configurations of two records, keys that one has by default left out."""
    return [name for name in now if _whole(name, before.get(name)) != _whole(name, now[name])]


def _whole(name: str, value: Any) -> Any:
    """A training with the defaults of this version: keys that came later do not make it another."""
    if name != "training" or not isinstance(value, Mapping):
        return value
    # Where the pictures are does not matter, what they are stands elsewhere.
    return recorded_config({**value, "data": {**value.get("data", {}), "training": ["pictures"]}})
