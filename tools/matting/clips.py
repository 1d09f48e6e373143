"""The clips that mattes are judged on: made with exact truth, real ones with masks, or yours.

A clip is a folder: ``com/*.jpg`` is what the camera saw, ``pha/*.png`` the true alpha,
``fgr/*.png`` the true foreground colours (if anybody knows them), ``meta.json`` (if there is one)
says ``scene``, ``fps`` and ``kind``. That is how the evaluation of Robust Video Matting has them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from matting.metrics import targets
from streammatte.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

ROOT = Path(__file__).parents[2]
RATE = 25.0
"""Frames a second of what does not say."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
SCENES = ("still", "talk", "walk", "fast", "hand", "light", "cut", "enter")
JPEG_QUALITY = 97


def shared() -> Path:
    """Return the folder that holds ``clips/``, whether or not it is there."""
    return Path(os.environ.get("STREAMMATTE_SHARED", ROOT.parent / "shared"))


@dataclass(frozen=True)
class Clip:
    """A clip on disk; pictures are read when they are asked for."""

    name: str
    folder: Path
    kind: str = "unknown"
    """What the subject is: ``person``, ``animal``, ..., ``real`` for a filmed one."""
    scene: str = ""
    rate: float = RATE
    """Frames a second."""
    limit: int | None = None
    """Only so many frames."""

    def only(self, count: int) -> Clip:
        """Return the clip without what comes after so many frames."""
        return replace(self, limit=count)

    def __len__(self) -> int:
        return len(self._files("pha"))

    @property
    def has_colours(self) -> bool:
        """Whether the true foreground colours are known."""
        return (self.folder / "fgr").is_dir()

    def pictures(self) -> list[Bytes]:
        """Return what the camera saw: uint8 R'G'B' ``[h, w, 3]`` each."""
        return [_colours(path) for path in self._files("com")[: len(self)]]

    def colours(self) -> list[Bytes]:
        """Return the true foreground colours, as ``pictures``."""
        return [_colours(path) for path in self._files("fgr")[: len(self)]]

    def truths(self) -> Bytes:
        """Return the true alphas: uint8 ``[t, h, w]``."""
        return np.stack([_read(path, cv2.IMREAD_GRAYSCALE) for path in self._files("pha")])

    def _files(self, part: str) -> list[Path]:
        try:
            found = sorted(
                path for path in (self.folder / part).iterdir() if path.suffix in ENDINGS
            )
        except OSError as error:
            raise InputError(f"{self.folder / part} cannot be read: {error.strerror}") from error
        if not found:
            raise InputError(f"{self.folder / part} holds no pictures")
        return found[: self.limit]


def _read(path: Path, how: int) -> Bytes:
    picture = cv2.imread(str(path), how)
    if picture is None:
        raise InputError(f"{path} cannot be read")
    return np.asarray(picture, np.uint8)


def _colours(path: Path) -> Bytes:
    return np.ascontiguousarray(_read(path, cv2.IMREAD_COLOR)[..., ::-1])


# ---- where the things in a clip go


def moves(pictures: Sequence[Bytes], cache: Path) -> list[NDArray[np.int32]]:
    """Return ``metrics.targets`` from each frame to the next one, found by dense inverse search.

    Rounded flows are kept in ``cache``, for they take longer than the mattes.
    """
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.tobytes())
    path = cache / "flow" / f"{digest.hexdigest()[:24]}.npz"
    if path.exists():
        flows = np.load(path)["flows"]
    else:
        flows = _flows(pictures)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez_compressed(part, flows=flows)
        part.replace(path)
    return [targets(flow) for flow in flows]


def _flows(pictures: Sequence[Bytes]) -> NDArray[np.int16]:
    """Return rounded flows, int16 ``[t - 1, h, w, 2]``."""
    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    greys = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    height, width = greys[0].shape
    flows = np.zeros((len(greys) - 1, height, width, 2), np.int16)
    for index, (one, other) in enumerate(itertools.pairwise(greys)):
        flows[index] = np.rint(search.calc(one, other, None))
    return flows


# ---- clips that are there


def find(folder: Path, limit: int | None = None) -> list[Clip]:
    """Return the clips below a folder, or the one that it is.

    Raises:
        InputError: if there are none.
    """
    folders = sorted(path.parent for path in (*folder.glob("pha"), *folder.glob("*/pha")))
    if not folders:
        raise InputError(f"{folder} holds no clips: folders with com/ and pha/")
    return [_described(one, limit) for one in folders]


def _described(folder: Path, limit: int | None) -> Clip:
    meta = _meta(folder)
    kind = meta.get("kind") or _kind(meta)
    if kind is None:
        kind = "unknown" if (folder / "fgr").is_dir() else "real"
    scene, rate = str(meta.get("scene", "")), float(meta.get("fps", RATE))
    return Clip(folder.name, folder, kind, scene, rate, limit)


def _meta(folder: Path) -> dict[str, Any]:
    path = folder / "meta.json"
    if not path.exists():
        return {}
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return told


def _kind(meta: dict[str, Any]) -> str | None:
    """Return the kind of the cut-outs that a clip was made of, as their catalogue says."""
    if "fg" not in meta:
        return None
    parts = ["fg", "fg2"] if meta.get("scene") == "cut" else ["fg"]
    kinds = {_kind_of(Path(meta[part])) for part in parts if part in meta}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _kind_of(cutout: Path) -> str:
    for folder in (cutout.parents[1], shared() / "clips"):
        if (folder / "assets.json").exists():
            for asset in json.loads((folder / "assets.json").read_text()):
                if asset["file"] == f"fg/{cutout.name}":
                    return str(asset.get("kind", "unknown"))
    return "unknown"


# ---- clips that are made


@dataclass(frozen=True)
class Recipe:
    """Which clips to make; the same recipe and the same OpenCV make the same clips."""

    clips: int = 8
    frames: int = 40
    size: tuple[int, int] = (960, 540)
    """``(width, height)``."""
    seed: int = 11
    scenes: tuple[str, ...] = SCENES


def made(recipe: Recipe, cache: Path) -> list[Clip]:
    """Return clips with exact truth, made by the shared generator if they are not there yet.

    Raises:
        InputError: if there is no generator, or it cannot make them.
    """
    place = shared() / "clips"
    maker = place / "make_clips.py"
    if not maker.exists():
        raise InputError(
            f"no {maker}: name a folder of clips with --clips, or set STREAMMATTE_SHARED"
        )
    about = json.dumps([asdict(recipe), maker.read_text(), cv2.__version__], sort_keys=True)
    folder = cache / f"clips-{hashlib.sha256(about.encode()).hexdigest()[:16]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix="part-", dir=cache))
        try:
            _make(_load(maker), recipe, place, part)
            part.rename(folder)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return find(folder)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"shared_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _make(maker: ModuleType, recipe: Recipe, place: Path, target: Path) -> None:
    unknown = set(recipe.scenes) - set(maker.SCENES)
    if unknown:
        raise InputError(f"no such scenes: {', '.join(sorted(unknown))}")
    plans = maker.plan(place / "fg", place / "bg", recipe.clips, list(recipe.scenes), recipe.seed)
    for plan in plans:
        print(f"making {plan['name']}", flush=True)
        folder = target / plan["name"]
        others = {"fg2": plan["fg2"], "bg2": plan["bg2"]}
        layers = (plan["fg"], plan["bg"], plan["scene"], plan["seed"])
        for index, frame in enumerate(maker.render(*layers, recipe.frames, recipe.size, **others)):
            write_frame(folder, index, frame)
        facts = {name: str(value) for name, value in plan.items()} | {"fps": maker.FPS}
        (folder / "meta.json").write_text(json.dumps(facts))


def write_frame(folder: Path, index: int, parts: dict[str, Bytes]) -> None:
    """Write a frame of a clip.

    Args:
        folder: Of the clip.
        index: Of the frame.
        parts: ``com``, ``pha`` and what else there is, by name: uint8 B'G'R' or grey.
    """
    for part, picture in parts.items():
        if part == "bgr":  # nothing here looks at the background
            continue
        ending, how = (".png", [cv2.IMWRITE_PNG_COMPRESSION, 3])
        if part == "com":
            ending, how = (".jpg", [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / part).mkdir(parents=True, exist_ok=True)
        path = folder / part / f"{index:04d}{ending}"
        path.write_bytes(cv2.imencode(ending, picture, how)[1].tobytes())
