"""Measures codecs on pictures: every picture at every quality, real files, one results file for each codec.

    pictures = examine(find_pictures("kodak", data_roots()))
    evaluation = Evaluation(pictures, [model_contender("gllmm-lite"), ALL_PEERS["jpeg"]], Path("results"))
    results = evaluation.run()

Bits are those of whole files, distortions those of 8-bit pixels decoded from them; metadata are left out for all.
Encoding and decoding are timed one after the other, each alone on the machine as far as this program goes. It may be
stopped at any time and goes on where it stopped.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trimix.errors import OtherResultsError, OutputError, PictureError, TrimixError, UsageError
from trimix.evaluation.contenders import Contender
from trimix.evaluation.data_sets import Pictures
from trimix.evaluation.journal import SUFFIX, Journal, journal_path, recorded_settings, resume
from trimix.evaluation.machine import machine, versions
from trimix.evaluation.measuring import Coded, measuring
from trimix.evaluation.metrics import measure_point, versions_of_metrics
from trimix.evaluation.results import SETTINGS, Measurement, Results
from trimix.images import Picture, read_picture, write_atomically
from trimix.progress import ProgressDisplay

WARM_UP_SIDE = 256
"""Pixels: what the first coding of a process compiles and allocates is not counted, a part of a picture is enough."""
_MEMORY_NOTE = (
    "largest resident memory while one picture was encoded and decoded: of the process of the codec, with interpreter "
    "and libraries (idle_memory_bytes before the codec was opened)"
)


def examine(pictures: Pictures) -> Pictures:
    """Read every picture once: a damaged one must not be found after hours of measuring. It is left out, and named.

    Raises:
        PictureError: none can be read.
    """
    digest = hashlib.sha256()
    paths: list[Path] = []
    left_out: list[str] = []
    for path in pictures.paths:
        try:
            read_picture(path)
        except PictureError as error:
            if len(left_out) + 1 == len(pictures.paths):
                raise
            left_out.append(str(error))
        else:
            paths.append(path)
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return replace(pictures, paths=tuple(paths), fingerprint=digest.hexdigest(), left_out=tuple(left_out))


class Evaluation:
    """Codecs to be measured on pictures. Making one checks what can be checked; `run` measures.

    Args:
        pictures: examined.
        contenders: codecs, each with a key of its own.
        folder: for results files, ``<key>.json``; made when the first measurement begins.
        force: replace results that were measured with other settings.
        isolated: in a process of its own each, which memory needs to be told truly.
        command: how this was started, for the provenance.

    Raises:
        UsageError: no contenders or two of one key, a folder that is none, or results of other pictures or settings.
    """

    def __init__(
        self,
        pictures: Pictures,
        contenders: Sequence[Contender],
        folder: Path,
        *,
        force: bool = False,
        isolated: bool = True,
        command: str = "",
    ) -> None:
        self.pictures = pictures
        self.contenders = tuple(contenders)
        self.folder = folder
        self._isolated = isolated
        date = datetime.now(UTC).isoformat(timespec="seconds")
        self._session = {"command": command, "date": date, "machine": machine()}
        _check_contenders(self.contenders)
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder}: must be a folder, found a file; choose another")
        if not force:
            self._refuse_other_pictures()
        self._begun = {
            contender.key: resume(self.results_path(contender), self._settings(contender), force=force)
            for contender in self.contenders
        }

    def results_path(self, contender: Contender) -> Path:
        """Where the results of a codec go."""
        return self.folder / f"{contender.key}.json"

    def run(self, display: ProgressDisplay | None = None) -> list[Results]:
        """Measure what has not been measured, codec by codec, and write the results files.

        Raises:
            TrimixError: a picture or a codec fails; what has been measured is kept.
            KeyboardInterrupt: so it is then, and the same call goes on.
        """
        display = display or ProgressDisplay(silent=True)
        return [self._measure(contender, display) for contender in self.contenders]

    def _measure(self, contender: Contender, display: ProgressDisplay) -> Results:
        begun = self._begun[contender.key]
        total = len(self.pictures.paths) * len(contender.qualities)
        if isinstance(begun, Results):
            # Left over where a process was killed between its last two steps.
            journal_path(self.results_path(contender)).unlink(missing_ok=True)
            display.say(f"{contender.name}: all {total} measurements are here already")
            return begun
        if begun.measurements:
            display.say(f"{contender.name}: going on after {len(begun.measurements)} of {total} measurements")
        display.show(f"{contender.name}: loading", len(begun.measurements), total)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be made ({error.strerror}); choose another") from error
        try:
            self._measure_pictures(contender, begun, display, total)
        except KeyboardInterrupt:
            done = f"{len(begun.measurements)} of {total} measurements of {contender.name}"
            display.say(f"interrupted after {done}; the same command goes on")
            raise
        finally:
            begun.close()
        results = self._write(contender, begun)
        self._begun[contender.key] = results
        return results

    def _measure_pictures(self, contender: Contender, journal: Journal, display: ProgressDisplay, total: int) -> None:
        def show(text: str, *, always: bool = False) -> None:
            done = len(journal.measurements)
            display.show(f"{contender.name} {done}/{total} {text}", done, total, always=always)

        is_warm = False
        with measuring(contender, isolated=self._isolated) as measure:
            journal.open(self._session | {"facts": dict(measure.facts)})
            for path in self.pictures.paths:
                missing = [one for one in contender.qualities if (path.name, one) not in journal.measurements]
                if not missing:
                    continue
                # Pixels only: a profile or a thumbnail would count as bits of some codecs and not of others.
                picture = read_picture(path).bare()
                for quality in missing:
                    try:
                        if not is_warm:
                            show("warming up")
                            measure.code(_middle(picture), quality)
                            is_warm = True
                        show(f"{path.name} quality {quality:g}")
                        coded = measure.code(picture, quality)
                        measurement = _measurement(path.name, picture, quality, coded)
                    except TrimixError as error:
                        raise _named(error, f"{path} through {contender.name} at quality {quality:g}") from error
                    journal.add(measurement, coded.gpu_peak_memory_bytes)
                    point = measurement.point
                    show(
                        f"{path.name} quality {quality:g}: {point.bits_per_pixel:.4f} bpp, {point.psnr_db:.2f} dB, "
                        f"{coded.encoding_seconds:.2f} + {coded.decoding_seconds:.2f} s",
                        always=True,
                    )

    def _write(self, contender: Contender, journal: Journal) -> Results:
        first = journal.sessions[0]
        provenance = {
            **versions(),
            **{name: first[name] for name in ("command", "date", "machine")},
            **first["facts"],
            "memory": _MEMORY_NOTE,
            SETTINGS: journal.settings,
        }
        if journal.gpu_peak_memory_bytes is not None:
            provenance["gpu_peak_memory_bytes"] = journal.gpu_peak_memory_bytes
        if len(journal.sessions) > 1:
            provenance["sessions"] = journal.sessions  # it was stopped and went on, perhaps elsewhere
        keys = [(path.name, quality) for path in self.pictures.paths for quality in contender.qualities]
        measurements = [journal.measurements[key] for key in keys]
        name, description, data = contender.name, contender.description, self.pictures.name
        results = Results.of_measurements(name, description, data, measurements, provenance)
        text = json.dumps(results.to_json(), indent=1) + "\n"
        write_atomically(self.results_path(contender), text.encode(), overwrite=True)
        journal.path.unlink(missing_ok=True)
        return results

    def _settings(self, contender: Contender) -> Mapping[str, Any]:
        return {
            "pictures": self.pictures.name,
            "pictures_count": len(self.pictures.paths),
            "pictures_sha256": self.pictures.fingerprint,
            "metrics": versions_of_metrics(),
            **contender.identity(),
        }

    def _refuse_other_pictures(self) -> None:
        """A folder is for one set of pictures: a report over it would compare what cannot be compared."""
        for path in sorted([*self.folder.glob("*.json"), *self.folder.glob(f"*{SUFFIX}")]):
            found = recorded_settings(path)
            if found and found.get("pictures_sha256") != self.pictures.fingerprint:
                raise OtherResultsError(
                    f"{self.folder}: must hold results of the same pictures ({self.pictures.name}), found "
                    f"{path.name} of {found.get('pictures')}, {found.get('pictures_count')} files; choose another "
                    "folder, or measure anew"
                )


def _check_contenders(contenders: Sequence[Contender]) -> None:
    if not contenders:
        raise UsageError("an evaluation needs a codec to measure, found none; name one")
    keys = [contender.key.casefold() for contender in contenders]
    for index, contender in enumerate(contenders):
        if not contender.qualities or len(set(contender.qualities)) != len(contender.qualities):
            qualities = ",".join(f"{quality:g}" for quality in contender.qualities) or "none"
            raise UsageError(f"{contender.name} must have qualities, each once, found {qualities}; change them")
        if keys[index] in keys[:index]:
            raise UsageError(f"codecs must have names of their own, found {contender.key} twice; rename a model file")


def _middle(picture: Picture) -> Picture:
    top, left = (max(side - WARM_UP_SIDE, 0) // 2 for side in picture.pixels.shape[:2])
    return Picture(np.ascontiguousarray(picture.pixels[top : top + WARM_UP_SIDE, left : left + WARM_UP_SIDE]))


def _measurement(name: str, original: Picture, quality: float, coded: Coded) -> Measurement:
    known = vars(coded) | vars(measure_point(original.pixels, coded.pixels, coded.file_bytes, quality))
    known |= {"picture": name, "width": original.width, "height": original.height}
    return Measurement(**{one.name: known[one.name] for one in fields(Measurement)})


def _named(error: TrimixError, what: str) -> TrimixError:
    named = type(error)(f"{what}: {str(error).removeprefix('the picture: ')}")
    for note in getattr(error, "__notes__", ()):
        named.add_note(note)
    return named
