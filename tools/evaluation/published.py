"""What others reported of networks on data sets; nothing here was measured by us.

Sources:

- GitHub: the README of github.com/ZhengPeng7/BiRefNet, table "Models trained with customed data"
  of its model zoo (S and wF), as of January 2025.
- Card: the README of that network's own repository at huggingface.co/ZhengPeng7.
- Paper: arXiv 2401.03407, as quoted by hyper.ai (COD10K) and wizwand.com (DIS-VD). The weights
  that can be fetched under these names were trained again later, and may differ a little.

Left out for want of a source that could be read: BiRefNet_HR, BiRefNet_HR-matting,
BiRefNet_dynamic, and the paper's rows for DUT-OMRON and HRSOD, which depend on the training set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Published(NamedTuple):
    """A row of somebody's table."""

    source: str
    figures: dict[str, float]
    size: str = "1024x1024"
    """Of the network's input, as width x height."""


def _row(text: str) -> dict[str, float]:
    names, _, values = text.partition(":")
    return dict(zip(names.split(), map(float, values.split()), strict=True))


_GITHUB = "github.com/ZhengPeng7/BiRefNet, model zoo"
_CARD = "huggingface.co/ZhengPeng7/"
_PAPER = "arXiv 2401.03407, at second hand"
_ALL = "maxF wF MAE S meanE maxE meanF adpE adpF:"
_MATTING = "S maxF meanE maxE meanF wF adpE adpF:"
_PORTRAIT = "S maxF meanE MAE maxE meanF wF adpE adpF:"

PUBLISHED = {
    ("birefnet", "dis-vd"): Published(_GITHUB, _row("S wF: .911 .875")),
    ("birefnet-lite", "dis-vd"): Published(_GITHUB, _row("S wF: .882 .830")),
    ("birefnet-512x512", "dis-vd"): Published(
        _CARD + "BiRefNet_512x512",
        _row(_ALL + ".879 .840 .040 .888 .931 .941 .864 .938 .857"),
        "512x512",
    ),
    ("birefnet-lite-2k", "dis-vd"): Published(
        _CARD + "BiRefNet_lite-2K",
        _row(_ALL + ".867 .831 .045 .879 .919 .925 .858 .916 .847"),
        "2560x1440",
    ),
    ("birefnet-lite-2k", "p3m-500-np"): Published(
        _CARD + "BiRefNet_lite-2K",
        _row(_ALL + ".993 .986 .009 .975 .986 .993 .985 .833 .873"),
        "2560x1440",
    ),
    ("birefnet-matting", "p3m-500-np"): Published(
        _CARD + "BiRefNet-matting", _row(_MATTING + ".979 .996 .988 .997 .986 .988 .864 .885")
    ),
    ("birefnet-portrait", "p3m-500-p"): Published(
        _CARD + "BiRefNet-portrait",
        _row(_PORTRAIT + ".983 .996 .991 .006 .997 .988 .990 .933 .965"),
    ),
    ("birefnet-dis5k", "dis-vd"): Published(_PAPER, _row("S wF: .898 .854")),
    ("birefnet-cod", "cod10k"): Published(_PAPER, _row("S wF MAE: .913 .874 .014")),
}


def published(names: Iterable[str], data_set: str) -> Published | None:
    """Return what was reported of a network on a data set, if anything is known.

    Args:
        names: What the network is called: a repository's name, a folder's, ours.
        data_set: Such as ``DIS-VD``; ``TE-`` before it and a version after it do not matter.
    """
    wanted = data_set.lower().removeprefix("te-").removesuffix("-v3")
    plain = [name.rstrip("/").rpartition("/")[2].lower().replace("_", "-") for name in names]
    return next((PUBLISHED[name, wanted] for name in plain if (name, wanted) in PUBLISHED), None)
