"""The public BiRefNet checkpoints: one architecture, many trainings.

Revisions and digests are facts looked up in 2026-11: the hub's own page of ``model.safetensors``,
or several projects that pinned the same pair. Where no such pair was found, the digest is empty,
and the first file that is seen is remembered instead (``models.weights``).

Which backbone a checkpoint has is read from its weights; what cards say of it is for random ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streammatte.models.base import ModelCard
from streammatte.models.weights import Hub

if TYPE_CHECKING:
    from streammatte.models.birefnet.swin import Backbone

_STRIDE = 32
_PAPER = "Zheng et al. 2024 (arXiv 2401.03407)"
_TERMS = "some of these sets have narrower terms than the weights' MIT (BiRefNet issues 276, 306)"
_GENERAL = "DIS5K (but for DIS-VD), DUTS, HRSOD, UHRSD, HRS10K, P3M-10k, TR-humans"
_PEOPLE = "P3M-10k (but for TE-P3M-500-NP), TR-humans"
_MATTING = (
    f"{_PEOPLE}, AM-2k, AIM-500, HIM2K, PPM-100, and Human-2k and Distinctions-646 over BG-20k"
)
_CUTS = "trained mostly on hard masks: hair, glass and smoke come out hard; not made for video"
_SOFT = "trained on pictures with one clear subject; not made for video"
_TASK = "made for one benchmark, not for general use; not made for video"
_SLOW = "four times the work of birefnet"


def _card(
    name: str,
    repository: str,
    summary: str,
    data: str,
    limits: str,
    *,
    revision: str = "main",
    sha256: str = "",
    trained: tuple[int, int] | None = (1024, 1024),
    sides: tuple[int, int] = (256, 2048),
    longest: int = 2048,
    backbone: Backbone = "swin_l",
) -> ModelCard:
    """Return what the cards of the authors' own checkpoints have in common.

    Args:
        name: Ours.
        repository: Theirs, without the owner.
        summary: What it is for.
        data: What it was trained on.
        limits: What it is not good at.
        revision: A commit at which the weights are known to be right.
        sha256: Of the weights at that commit.
        trained: ``(width, height)`` it was trained on; ``None`` for any.
        sides: The least and the greatest shorter side.
        longest: The greatest longer side.
        backbone: The large one or the small one.
    """
    return ModelCard(
        name=name,
        summary=summary,
        weights=Hub(f"ZhengPeng7/{repository}", revision, sha256),
        licence="MIT",
        commercial=True,
        origin=f"huggingface.co/ZhengPeng7/{repository}, {_PAPER}",
        training_data=data,
        limits=limits,
        short_side=min(trained or (1024,)),
        short_side_range=sides,
        stride=_STRIDE,
        longest_side=longest,
        tallest=longest,
        trained=trained,
        backbone=backbone,
    )


GENERAL = _card(
    "birefnet",
    "BiRefNet",
    "whatever stands out, people and things alike; 220 M weights, for a GPU",
    f"{_GENERAL}; {_TERMS}",
    _CUTS,
    revision="e2bf8e4460fc8fa32bba5ea4d94b3233d367b0e4",
    sha256="9ab37426bf4de0567af6b5d21b16151357149139362e6e8992021b8ce356a154",
)
LITE = _card(
    "birefnet-lite",
    "BiRefNet_lite",
    "birefnet with a small backbone: 44 M weights, four times quicker",
    f"{_GENERAL}; {_TERMS}",
    f"finds less than birefnet; {_CUTS}",
    revision="7838f1c3472f827cd8ce13ab5ccc2ce48077360f",
    sha256="4417d89795250e698c3cb0ae8df15743810065f646f48a694fdfa7ca052d0815",
    backbone="swin_t",
)
MATTING = _card(
    "birefnet-matting",
    "BiRefNet-matting",
    "soft edges (hair, fur, glass) of people, animals and things; 220 M weights",
    f"{_MATTING}; {_TERMS}",
    _SOFT,
    revision="57f9f68b43ba337c75762b14cf3075d659007268",
    sha256="a9875de5b1e6c8eb5fdaa8c727a82927ce442cdc87ba3abee6a77e6fa46c25bb",
)
LITE_MATTING = _card(
    "birefnet-lite-matting",
    "BiRefNet_lite-matting",
    "soft edges with a small backbone: 44 M weights",
    "for matting; which sets is not said where we looked",
    _SOFT,
    revision="99c33412e3f58e1f33187abdc8c435c645243690",
    sha256="ce8bcfc045e336322c0424a5863dcfb7e9ce8fed0a5fd4d1b2b20adf12d97243",
    backbone="swin_t",
)
PORTRAIT = _card(
    "birefnet-portrait",
    "BiRefNet-portrait",
    "people only, with soft edges; 220 M weights",
    f"P3M-10k (but for TE-P3M-500-P), TR-humans; {_TERMS}",
    "people only, mostly alone and near; not made for video",
    revision="b6561965a70070d9143fd9e558f6ca3c481510db",
    sha256="4a4eb3a5469b75f0cccaec6772c22fc30e6c12ed429c2c0ba71b43e3d8d97182",
)
HR = _card(
    "birefnet-hr",
    "BiRefNet_HR",
    "birefnet for fine detail in large pictures, 2048 pixels square; 220 M weights",
    f"the larger pictures, some 58,000, of the sets of birefnet; {_TERMS}",
    f"{_SLOW}; {_CUTS}",
    revision="a7a562f6fd16021180f2f4348f4de003a2d3d1e1",
    sha256="9d678bafec0b0019fbb073b7fd02f05ede25dc4b15254f23b2fb0be333200c0d",
    trained=(2048, 2048),
    sides=(512, 2560),
    longest=2560,
)
HR_MATTING = _card(
    "birefnet-hr-matting",
    "BiRefNet_HR-matting",
    "soft edges in large pictures, 2048 pixels square; 220 M weights",
    "for matting, at 2048 pixels; which sets is not said where we looked",
    f"{_SLOW}; {_SOFT}",
    revision="5d6b6f8adcb5b417c871b1d84ceaae9871355b7f",
    sha256="a5a4de698739ea5e0e8bbab28e1b293dde95092b87a442d566cbc585c53cef55",
    trained=(2048, 2048),
    sides=(512, 2560),
    longest=2560,
)
DYNAMIC = _card(
    "birefnet-dynamic",
    "BiRefNet_dynamic",
    "birefnet for any size and shape, nothing is squashed; 220 M weights",
    "for general use, pictures of 256 to 2304 pixels; which sets is not said where we looked",
    _CUTS,
    revision="280306042f57b7a33854319da62fd86aaa89ec4c",
    sha256="e3d2e4884e51ff30f0cd630edc6b1e41b06b7f23a0a2a5169f7b7cb33a711c2d",
    trained=None,
    sides=(256, 2304),
    longest=2304,
)
DYNAMIC_MATTING = _card(
    "birefnet-dynamic-matting",
    "BiRefNet_dynamic-matting",
    "soft edges at any size and shape, nothing is squashed; 220 M weights",
    "for matting, pictures of 256 to 2304 pixels; which sets is not said where we looked",
    _SOFT,
    revision="074df545be87034e74a96bf71566ecbbc4c15f0a",
    trained=None,
    sides=(256, 2304),
    longest=2304,
)
SMALL = _card(
    "birefnet-512",
    "BiRefNet_512x512",
    "birefnet for small pictures, 512 pixels square: four times quicker; 220 M weights",
    "for general use, at 512 pixels; which sets is not said where we looked",
    f"fine detail is lost; {_CUTS}",
    trained=(512, 512),
    sides=(256, 1024),
    longest=1024,
)
LITE_2K = _card(
    "birefnet-lite-2k",
    "BiRefNet_lite-2K",
    "birefnet-lite for large wide pictures, 2560 x 1440; 44 M weights",
    "large pictures of DIS5K (but for DIS-VD), HRS10K, UHRSD and the sets of birefnet-matting; "
    f"{_TERMS}",
    f"3.5 times slower than birefnet-lite; {_CUTS}",
    revision="580b1256cd48294d77201a7b18c7dd81964969ab",
    sha256="aa2e4a5af5eb3904694feb40f2b39ec5dd7cd9110906590cfeb982f09a46021d",
    trained=(2560, 1440),
    sides=(512, 1440),
    longest=2560,
    backbone="swin_t",
)
LEGACY = _card(
    "birefnet-legacy",
    "BiRefNet-legacy",
    "birefnet as it was before people were added to its training; 220 M weights",
    f"DIS5K (but for DIS-VD), DUTS, HRSOD, UHRSD, HRS10K; {_TERMS}",
    f"people were not its subject; {_CUTS}",
    revision="62fffc4c59b029946ef3aa2e4e28b38f5669d603",
    sha256="40e4ef76d28bc11380c7833fb2a834c327a90fae698797fca3c2afbf9d9a42cc",
)
DIS = _card(
    "birefnet-dis",
    "BiRefNet-DIS5K",
    "the paper's network for DIS5K, to compare with its tables; 220 M weights",
    f"DIS5K-TR; {_TERMS}",
    _TASK,
    revision="032e837020877028d8f4210dc1bd7371abdc7f98",
)
HRSOD = _card(
    "birefnet-hrsod",
    "BiRefNet-HRSOD",
    "the paper's network for salient objects, to compare with its tables; 220 M weights",
    f"of DUTS, HRSOD and UHRSD, which of them is not said where we looked; {_TERMS}",
    _TASK,
    revision="9c64804471c4266336c4b7638626e0301e04250d",
    sha256="dcc61b9f2074f5d4cb36c022c060543359047811cab426aa6dfa8a48f5034b8c",
)
COD = _card(
    "birefnet-cod",
    "BiRefNet-COD",
    "the paper's network for camouflaged objects, to compare with its tables; 220 M weights",
    f"COD10K-TR, CAMO-TR; {_TERMS}",
    f"looks for what hides; {_TASK}",
    revision="f648b6efa109baf9da3d597ffb43bc60df6cf24b",
    sha256="6c321deba6f15147f325566d0470e75e7258bf481f5e0b6c667659530d40019e",
)
RMBG = ModelCard(
    name="rmbg-2.0",
    summary="BRIA's training of birefnet, for background removal; not for commercial use",
    weights=Hub(
        "briaai/RMBG-2.0",
        "5df4c9c76d8170882c34f6986e848ee07fd0ba43",
        "566ed80c3d95f87ada6864d4cbe2290a1c5eb1c7bb0b123e984f60f76b02c3a7",
    ),
    licence="CC-BY-NC-4.0",
    commercial=False,
    origin="huggingface.co/briaai/RMBG-2.0, BRIA AI; to be had after accepting its licence there",
    training_data="BRIA's own licensed pictures, which are not public",
    limits="commercial use needs an agreement with BRIA; answers nearly yes or no",
    short_side=1024,
    short_side_range=(256, 2048),
    stride=_STRIDE,
    longest_side=2048,
    tallest=2048,
    trained=(1024, 1024),
    backbone="swin_l",
)
