"""What a run of a table came to, in a file of its own: KEY.json."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimix.errors import UsageError
from trimix.images import write_atomically
from trimix.reproduction.plan import Run
from trimix.reproduction.rates import PictureRates
from trimix.training.config import recorded_config

_DIGITS = 6


@dataclass(frozen=True)
class Record:
    """A run, as far as it has come.

    Args:
        key: of the run.
        configuration: everything that decides what it comes to, with the fingerprints of the pictures.
        rates: by steps done, then by set of pictures.
        facts: of the training: seconds, gradient ratio, machine, versions.
    """

    key: str
    configuration: Mapping[str, Any]
    rates: Mapping[int, Mapping[str, PictureRates]]
    facts: Mapping[str, Any]

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
        rates = {
            str(steps): {
                name: {
                    "bits_per_pixel": [round(value, _DIGITS) for value in found.bits_per_pixel],
                    "psnr_db": [round(value, _DIGITS) for value in found.psnr_db],
                }
                for name, found in sets.items()
            }
            for steps, sets in self.rates.items()
        }
        contents = {"key": self.key, "rates": rates, "facts": self.facts, "configuration": self.configuration}
        write_atomically(path, (json.dumps(contents) + "\n").encode(), overwrite=True)


def read_record(path: Path) -> Record:
    """Read what `Record.write` wrote.

    Raises:
        UsageError: it is missing or no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rates = {
            int(steps): {
                name: PictureRates(tuple(values["bits_per_pixel"]), tuple(values["psnr_db"]))
                for name, values in sets.items()
            }
            for steps, sets in found["rates"].items()
        }
        return Record(str(found["key"]), dict(found["configuration"]), rates, dict(found["facts"]))
    except OSError as error:
        raise UsageError(f"{path}: a record of a run cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: must be a record of a run, found {type(error).__name__} ({error}); remove it"
        ) from error


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
    """What a record says of a run: by it, a folder with runs of other settings is known.

    Args:
        run: of a plan.
        fingerprints: of the pictures it is trained and measured on, by name.
    """
    return {
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
    settings = {**value, "data": {**value.get("data", {}), "training": ["pictures"]}}
    return recorded_config(settings)
