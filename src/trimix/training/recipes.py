"""Recipes: TOML files that say what differs from another one, their base.

::

    configs/hyperprior-0.0067-regularized.toml   base = "hyperprior-0.0067.toml"
      `-- configs/hyperprior-0.0067.toml         base = "base/hyperprior.toml"
            `-- configs/base/hyperprior.toml     base = "compressai.toml"

A table changes its base's key by key, anything else replaces what the base has. ``[[phases]]`` are a list and replace
it; ``[phases.NAME]`` is a table and changes keys of the base's phase of that name.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimix.errors import ConfigurationError

Settings = dict[str, Any]
"""A table of TOML."""
Keys = Sequence[str | int]
"""The way to a value: names in tables, numbers in lists."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe says together with its bases.

    Args:
        settings: of the whole run, unchecked.
        files: path and own settings of every file, the recipe first, the last base at the end.
    """

    path: Path
    settings: Settings
    files: tuple[tuple[Path, Settings], ...]

    def whereabouts(self, keys: Keys) -> tuple[Path, Keys]:
        """The file that decides a value, and the way to it there; of a missing one, of what is nearest around it."""
        place, deepest = (self.path, keys), -1
        for path, settings in self.files:
            written = keys
            # A phase has a number in the run, but its name in a file that only changes it.
            if len(keys) > 1 and keys[0] == "phases" and isinstance(settings.get("phases"), dict):
                match self.settings["phases"][keys[1]]:
                    case {"name": str(name)}:
                        written = ["phases", name, *keys[2:]]
            depth, in_list = _depth(settings, written)
            if depth > deepest:
                place, deepest = (path, written), depth
            if in_list:
                break  # it replaces what the bases have
        return place


def read_recipe(path: Path) -> Recipe:
    """Read a TOML file and the bases it stands on.

    Args:
        path: of the recipe; ``base`` in it is a path relative to its own folder.

    Raises:
        ConfigurationError: a file is missing or is no TOML, bases go in a circle, or a phase is changed that none has.
    """
    files: list[tuple[Path, Settings]] = []
    following: Path | None = path
    while following is not None:
        settings = _read(following, files[-1][0] if files else None)
        base = settings.pop("base", None)
        files.append((following, settings))
        if base is not None and (not isinstance(base, str) or "\0" in base):
            raise ConfigurationError(f"{following}: base: must be the path of a TOML file, found {base!r}")
        following = following.parent / base if base is not None else None
        if following is not None and following.resolve() in [one.resolve() for one, _ in files]:
            circle = " -> ".join(str(one) for one, _ in [*files, (following, {})])
            raise ConfigurationError(
                f"{files[-1][0]}: base: must not lead back to where it came from, found {circle}; remove one of them"
            )
    merged: Settings = {}
    for file, settings in reversed(files):
        merged = _changed(merged, settings, file)
    return Recipe(path, merged, tuple(files))


def _read(path: Path, of: Path | None) -> Settings:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if of is None:
            raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
        raise ConfigurationError(
            f"{of}: base: must be a TOML file, but {path} cannot be read: {error.strerror}; "
            f"correct the path, which is relative to the folder of {of.name}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: is not valid TOML: {error}") from error


def _changed(base: Settings, settings: Settings, file: Path) -> Settings:
    changes = settings.get("phases")
    if not isinstance(changes, dict):
        return _merged(base, settings)
    before = base.get("phases")
    phases: list[Any] = [*before] if isinstance(before, list) else []
    names = [phase.get("name") if isinstance(phase, dict) else None for phase in phases]
    for name, change in changes.items():
        if names.count(name) != 1:
            known = ", ".join(str(one) for one in names) or "no phases"
            raise ConfigurationError(
                f"{file}: phases.{name}: must have the name of one phase of the base, which has {known}; "
                "correct it, or list all phases of the run as [[phases]]"
            )
        if not isinstance(change, dict):
            raise ConfigurationError(f"{file}: phases.{name}: must be a table, found {change!r}; write [phases.{name}]")
        position = names.index(name)
        phases[position] = _merged(phases[position], change)
    return _merged(base, settings | {"phases": phases})


def _merged(base: Settings, changes: Settings) -> Settings:
    result = dict(base)
    for key, value in changes.items():
        before: Any = result.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        result[key] = _merged(before, value) if both else value
    return result


def _depth(settings: Settings, keys: Keys) -> tuple[int, bool]:
    """How many of the keys a file has, one inside the other, and whether a list is on the way."""
    inner: Any = settings
    in_list = False
    for depth, key in enumerate(keys):
        in_list = in_list or isinstance(inner, list)
        within: Any = dict(enumerate(inner)) if isinstance(inner, list) else inner
        if not isinstance(within, dict) or key not in within:
            return depth, in_list
        inner = within[key]
    return len(keys), in_list
