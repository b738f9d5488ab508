"""Measures codecs on pictures: every picture at every quality, real files, one results file for each codec.

    pictures = examine(find_pictures("kodak", data_roots()))
    evaluation = Evaluation(pictures, [model_contender("gllmm-lite"), peer_contender("jpeg")], Path("results"))
    results = evaluation.run()

Bits are those of whole files, distortions those of 8-bit pixels decoded from them; metadata are left out for all.
Encoding and decoding are timed one after the other, each alone on the machine as far as this program goes. It may be
stopped at any time and goes on where it stopped.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trimix.errors import OtherResultsError, OutputError, PictureError, TrimixError, UsageError
from trimix.evaluation.contenders import Contender
from trimix.evaluation.data_sets import Pictures
from trimix.evaluation.journal import SETTINGS, SUFFIX, Journal, journal_path, recorded_settings, resume
from trimix.evaluation.machine import machine, versions
from trimix.evaluation.measuring import Coded, Measure, measuring
from trimix.evaluation.metrics import measure_point
from trimix.evaluation.observer import Observer
from trimix.evaluation.perceptual_metrics import versions_of_metrics
from trimix.evaluation.results import Measurement, Results
from trimix.images import Picture, read_picture, write_atomically

_MEMORY_NOTE = (
    "largest resident memory while one picture was encoded and decoded: of the process of the codec, with interpreter "
    "and libraries (idle_memory_bytes before the codec was opened), or of the program where the codec is one"
)


@dataclass(frozen=True)
class ExaminedPictures:
    """Pictures that are known to decode.

    Attributes:
        name: of the set or the folder.
        paths: in the order they are measured.
        fingerprint: SHA-256 over the names and contents of the files, hexadecimal.
        left_out: what is said of those that cannot be read, one line each.
    """

    name: str
    paths: tuple[Path, ...]
    fingerprint: str
    left_out: tuple[str, ...] = ()


_SILENT = Observer()


def examine(pictures: Pictures, observer: Observer = _SILENT) -> ExaminedPictures:
    """Read every picture once: a damaged one must not be found after hours of measuring. It is left out, and named.

    Raises:
        PictureError: none can be read.
    """
    digest = hashlib.sha256()
    paths: list[Path] = []
    left_out: list[str] = []
    for done, path in enumerate(pictures.paths, 1):
        try:
            read_picture(path)
        except PictureError as error:
            if len(left_out) + 1 == len(pictures.paths):
                raise
            left_out.append(str(error))
        else:
            paths.append(path)
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
        observer.examined(done, len(pictures.paths))
    return ExaminedPictures(pictures.name, tuple(paths), digest.hexdigest(), tuple(left_out))


class Evaluation:
    """Codecs to be measured on pictures. Making one checks what can be checked; `run` measures.

    Args:
        pictures: to measure on.
        contenders: codecs, each with a key of its own.
        folder: for results files, ``<key>.json``; made when the first measurement begins.
        force: replace results that were measured with other settings.
        isolated: measure each codec in a process of its own, which memory needs to be told truly.
        command: how this was started, for the provenance.

    Raises:
        UsageError: no contenders or two of one key, a folder that is none, or results of other pictures or settings.
    """

    def __init__(
        self,
        pictures: ExaminedPictures,
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
        self._session = {
            "command": command,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
        }
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

    def run(self, observer: Observer = _SILENT) -> list[Results]:
        """Measure what has not been measured, codec by codec, and write the results files.

        Raises:
            TrimixError: a picture or a codec fails; what has been measured is kept.
        """
        return [self._measure(contender, observer) for contender in self.contenders]

    def _measure(self, contender: Contender, observer: Observer) -> Results:
        begun = self._begun[contender.key]
        total = len(self.pictures.paths) * len(contender.qualities)
        if isinstance(begun, Results):
            # Left over where a process was killed between its last two steps.
            journal_path(self.results_path(contender)).unlink(missing_ok=True)
            observer.begins(contender.name, total, total)
            return begun
        observer.begins(contender.name, len(begun.measurements), total)
        _make_folder(self.folder)
        try:
            begun.open()
            with measuring(contender, isolated=self._isolated) as measure:
                begun.add_session(self._session | {"facts": dict(measure.facts)})
                self._measure_pictures(contender, measure, begun, observer)
        finally:
            begun.close()
        results = self._write(contender, begun)
        self._begun[contender.key] = results
        return results

    def _measure_pictures(self, contender: Contender, measure: Measure, journal: Journal, observer: Observer) -> None:
        is_warm = False
        for path in self.pictures.paths:
            missing = [one for one in contender.qualities if (path.name, one) not in journal.measurements]
            if not missing:
                continue
            # Pixels only: a profile or a thumbnail would count as bits of some codecs and not of others.
            picture = read_picture(path).bare()
            for quality in missing:
                try:
                    if not is_warm:
                        observer.warms_up()
                        measure.warm_up(picture, quality)
                        is_warm = True
                    observer.coding(path.name, quality)
                    coded = measure.code(picture, quality)
                    measurement = _measurement(path.name, picture, quality, coded)
                except TrimixError as error:
                    raise _named(error, f"{path} through {contender.name} at quality {quality:g}") from error
                journal.add(measurement, coded.gpu_peak_memory_bytes)
                observer.measured(measurement)

    def _write(self, contender: Contender, journal: Journal) -> Results:
        results = Results.of_measurements(
            contender.name,
            contender.description,
            self.pictures.name,
            (
                journal.measurements[path.name, quality]
                for path in self.pictures.paths
                for quality in contender.qualities
            ),
            self._provenance(journal),
        )
        text = json.dumps(results.to_json(), indent=1) + "\n"
        write_atomically(self.results_path(contender), text.encode(), overwrite=True)
        journal.path.unlink(missing_ok=True)
        return results

    def _provenance(self, journal: Journal) -> Mapping[str, Any]:
        first = journal.sessions[0]
        provenance = {
            **versions(),
            "command": first["command"],
            "date": first["date"],
            "machine": first["machine"],
            **first["facts"],
            "memory": _MEMORY_NOTE,
            SETTINGS: journal.settings,
        }
        if journal.gpu_peak_memory_bytes is not None:
            provenance["gpu_peak_memory_bytes"] = journal.gpu_peak_memory_bytes
        if len(journal.sessions) > 1:
            provenance["sessions"] = journal.sessions  # it was stopped and went on, perhaps elsewhere
        return provenance

    def _settings(self, contender: Contender) -> Mapping[str, Any]:
        return {
            "pictures": self.pictures.name,
            "pictures_count": len(self.pictures.paths),
            "pictures_sha256": self.pictures.fingerprint,
            "metrics": versions_of_metrics(),
            **contender.settings(),
        }

    def _refuse_other_pictures(self) -> None:
        """A folder is for one set of pictures: a report over it would compare what cannot be compared."""
        if not self.folder.is_dir():
            return
        for path in sorted([*self.folder.glob("*.json"), *self.folder.glob(f"*{SUFFIX}")]):
            found = recorded_settings(path)
            if found is not None and found.get("pictures_sha256") != self.pictures.fingerprint:
                raise OtherResultsError(
                    f"{self.folder}: must hold results of the same pictures ({self.pictures.name}), found "
                    f"{path.name} of {found.get('pictures')}, {found.get('pictures_count')} files; choose another "
                    "folder, or measure anew"
                )


def _check_contenders(contenders: Sequence[Contender]) -> None:
    if not contenders:
        raise UsageError("an evaluation needs a codec to measure, found none; name one")
    for index, contender in enumerate(contenders):
        if not contender.qualities or len(set(contender.qualities)) != len(contender.qualities):
            qualities = ",".join(f"{quality:g}" for quality in contender.qualities) or "none"
            raise UsageError(f"{contender.name} must have qualities, each once, found {qualities}; change them")
        for other in contenders[:index]:
            if contender.key.casefold() == other.key.casefold():
                raise UsageError(
                    f"codecs must have names of their own, found {contender.key} twice; rename a model file"
                )


def _measurement(name: str, original: Picture, quality: float, coded: Coded) -> Measurement:
    point = measure_point(original.pixels, coded.pixels, coded.file_bytes, quality)
    return Measurement(
        picture=name,
        width=original.width,
        height=original.height,
        quality=quality,
        file_bytes=coded.file_bytes,
        payload_bytes=coded.payload_bytes,
        psnr_db=point.psnr_db,
        luma_psnr_db=point.luma_psnr_db,
        ms_ssim=point.ms_ssim,
        encoding_seconds=coded.encoding_seconds,
        decoding_seconds=coded.decoding_seconds,
        peak_memory_bytes=coded.peak_memory_bytes,
        ssimulacra2=point.ssimulacra2,
        butteraugli=point.butteraugli,
    )


def _named(error: TrimixError, what: str) -> TrimixError:
    named = type(error)(f"{what}: {str(error).removeprefix('the picture: ')}")
    for note in getattr(error, "__notes__", ()):
        named.add_note(note)
    return named


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); choose another") from error
