"""Public checkpoints load into our network; what does not fit is named."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from doubles import COMMIT, PUBLIC_CONFIG, in_cache, sparse

import streammatte
from streammatte.errors import ModelError
from streammatte.models.birefnet import cards
from streammatte.models.weights import FILE, Hub, Local

torch = pytest.importorskip("torch")
checkpoint_module = pytest.importorskip("streammatte.models.birefnet.checkpoint")
from safetensors.torch import save_file  # noqa: E402

from streammatte.models.birefnet.checkpoint import (  # noqa: E402
    PretrainedBiRefNet,
    backbone_of,
    load,
)
from streammatte.models.birefnet.network import BiRefNet  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

    from doubles import Checkpoint, Entries

    Shapes = Callable[[str], dict[str, tuple[int, ...]]]

LITE = Hub("ZhengPeng7/BiRefNet_lite")
BIAS = "decoder.conv_out1.0.bias"
NORM = "bb.norm0.weight"
POSITIONS = "relative_position_index"
COUNTER = "num_batches_tracked"


def entries(shapes: Shapes, backbone: str = "swin_t", dtype: str = "F16") -> Entries:
    """Return what a checkpoint holds, but for the look-up tables, which would be zeros here."""
    return {
        key: ("I64" if key.endswith(COUNTER) else dtype, shape)
        for key, shape in shapes(backbone).items()
        if not key.endswith(POSITIONS)
    }


def refusal(path: Path, held: Entries, values: dict[str, bytes] | None = None) -> str:
    """Return the message, of one line, with which a file of these tensors is refused."""
    return refused(sparse(path / FILE, held, values))


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load(Local(path), "mine")
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def assert_same(network: Any, state: dict[str, Any]) -> None:
    """Check that a network holds these tensors, whatever their precision was."""
    held = network.state_dict()
    assert held.keys() == state.keys()
    for key, value in state.items():
        assert torch.equal(held[key], value.float() if value.is_floating_point() else value), key


# ---- what loads


def test_a_folder_in_the_layout_of_the_hub(checkpoint: Checkpoint) -> None:
    network = load(Local(checkpoint.folder), "mine")
    assert type(network) is BiRefNet
    assert_same(network, checkpoint.state)
    assert not any(module.training for module in network.modules())
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"cpu"}
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_numbers_are_those_of_the_weights(checkpoint: Checkpoint) -> None:
    """The same as when they are put into the network directly."""
    with torch.device("meta"):
        network = BiRefNet("swin_t").eval()
    state = {k: v.float() if v.is_floating_point() else v for k, v in checkpoint.state.items()}
    network.load_state_dict(state, assign=True)
    picture = torch.linspace(-2, 2, 3 * 64 * 64).reshape(1, 3, 64, 64).sin()
    with torch.inference_mode():
        expected = network(picture)
        assert torch.equal(load(Local(checkpoint.file), "mine")(picture), expected)
        pretrained = PretrainedBiRefNet.from_pretrained(checkpoint.folder)
        assert torch.equal(pretrained(picture), expected)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_precisions(dtype: str, checkpoint: Checkpoint, tmp_path: Path) -> None:
    state = {
        key: value.to(getattr(torch, dtype)) if value.is_floating_point() else value.clone()
        for key, value in checkpoint.state.items()
    }
    save_file(state, tmp_path / FILE)
    assert_same(load(Local(tmp_path), "mine"), state)
    (tmp_path / FILE).unlink()


@pytest.mark.usefixtures("no_network")
def test_from_pretrained_wherever_it_lies(checkpoint: Checkpoint, own_folders: Path) -> None:
    snapshot = in_cache(own_folders, LITE, checkpoint.file, checkpoint.digest).parent
    for where in (LITE.repository, snapshot, str(checkpoint.file)):
        network = PretrainedBiRefNet.from_pretrained(where, revision=COMMIT)
        assert network.config.backbone == "swin_t"
        assert_same(network, checkpoint.state)


@pytest.mark.usefixtures("no_network")
def test_offline_from_the_cache(
    checkpoint: Checkpoint, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    in_cache(own_folders, LITE, checkpoint.file, checkpoint.digest)
    assert_same(load(LITE, "birefnet-lite"), checkpoint.state)


@pytest.mark.usefixtures("no_network")
def test_changed_weights_are_not_loaded(checkpoint: Checkpoint, own_folders: Path) -> None:
    in_cache(own_folders, LITE, checkpoint.file, "0" * 64)
    with pytest.raises(ModelError, match="not the published ones"):
        load(LITE, "birefnet-lite")
    with pytest.raises(ModelError, match="not the published ones"):
        PretrainedBiRefNet.from_pretrained(LITE.repository)


@pytest.mark.usefixtures("no_network")
def test_from_pretrained_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="owner/name are not here"):
        PretrainedBiRefNet.from_pretrained("owner/name")
    with pytest.raises(ModelError, match="there is no nothing"):
        PretrainedBiRefNet.from_pretrained("nothing")


@pytest.mark.parametrize("card", [c for c in vars(cards).values() if hasattr(c, "weights")])
@pytest.mark.usefixtures("no_network")
def test_every_variant_has_its_backbone(
    card: Any, own_folders: Path, shapes: Shapes, tmp_path: Path
) -> None:
    """Nothing but the shapes tells: no public ``config.json`` does."""
    backbone = "swin_t" if "lite" in card.name else "swin_l"
    file = sparse(tmp_path / FILE, entries(shapes, backbone))
    there = in_cache(own_folders, card.weights, file, "a" * 64, card.weights.revision)
    assert json.loads((there.parent / "config.json").read_text()) == PUBLIC_CONFIG
    assert backbone_of(there) == backbone


def test_the_large_network(shapes: Shapes, tmp_path: Path) -> None:
    held = entries(shapes, "swin_l")
    network = load(Local(sparse(tmp_path / FILE, held)), "mine")
    assert network.state_dict().keys() == shapes("swin_l").keys()
    table = network.state_dict()["bb.layers.0.blocks.0.attn.relative_position_index"]
    assert (table.shape, table.min(), table.max()) == ((144, 144), 0, 23 * 23 - 1)


def test_the_keys_are_those_of_the_public_checkpoints(shapes: Shapes) -> None:
    with torch.device("meta"):
        network = PretrainedBiRefNet(checkpoint_module.BiRefNetConfig("swin_t"))
    assert network.state_dict().keys() == shapes("swin_t").keys()
    assert len(shapes("swin_t")) == 586
    assert len(shapes("swin_l")) == 754


def test_what_inference_does_not_read_may_be_missing(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    kept = {
        key: value.clone()
        for key, value in checkpoint.state.items()
        if not key.endswith((POSITIONS, COUNTER))
    }
    save_file(kept, tmp_path / FILE)
    assert_same(load(Local(tmp_path), "mine"), checkpoint.state)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
def test_wrappers_leave_prefixes(prefix: str, shapes: Shapes, tmp_path: Path) -> None:
    held = {f"{prefix}{key}": entry for key, entry in entries(shapes).items()}
    values = {f"{prefix}{BIAS}": struct.pack("<e", 1.5)}
    network = load(Local(sparse(tmp_path / FILE, held, values)), "mine")
    assert network.state_dict()[BIAS].item() == 1.5


def test_transformers_is_not_heard(
    checkpoint: Checkpoint, capfd: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    quiet = are_progress_bars_disabled()
    load(Local(checkpoint.file), "mine")
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert are_progress_bars_disabled() == quiet


# ---- what does not


@pytest.mark.parametrize("key", [NORM, BIAS, "decoder.conv_ms_spvn_4.weight"])
def test_a_missing_key(key: str, shapes: Shapes, tmp_path: Path) -> None:
    held = entries(shapes)
    del held[key]
    message = refusal(tmp_path, held)
    assert f"missing: {key}" in message
    assert "more" not in message


@pytest.mark.parametrize(
    ("key", "other"),
    [
        (NORM, "bb.norm0.weights"),
        ("decoder.ipt_blk5.conv1.weight", "decoder.ipt_blk5.conv_1.weight"),
        ("bb.patch_embed.proj.weight", "bb.patch_embed.projection.weight"),
    ],
)
def test_a_renamed_key(key: str, other: str, shapes: Shapes, tmp_path: Path) -> None:
    held = entries(shapes)
    held[other] = held.pop(key)
    message = refusal(tmp_path, held)
    assert re.search(rf"\b{re.escape(key)}\b", message)
    assert re.search(rf"\b{re.escape(other)}\b", message)
    assert "missing" in message


@pytest.mark.parametrize("shape", [(95,), (96, 1), ()])
def test_a_reshaped_key(shape: tuple[int, ...], shapes: Shapes, tmp_path: Path) -> None:
    message = refusal(tmp_path, entries(shapes) | {NORM: ("F16", shape)})
    assert "of another shape" in message
    assert NORM in message
    assert "instead of 96" in message


def test_an_unknown_key(shapes: Shapes, tmp_path: Path) -> None:
    message = refusal(tmp_path, entries(shapes) | {"refiner.weight": ("F16", (3, 3))})
    assert "unknown: refiner.weight" in message


def test_many_faults_are_counted(shapes: Shapes, tmp_path: Path) -> None:
    held = {key: entry for key, entry in entries(shapes).items() if "lateral" not in key}
    message = refusal(tmp_path, held | {"bb.norm1.weight": ("F16", (7,))})
    assert message.count("lateral_block") == 2
    assert "and 4 more" in message
    assert "bb.norm1.weight (7 instead of 192)" in message


@pytest.mark.parametrize("dtype", ["I64", "U8", "F8_E4M3", "F64"])
def test_a_dtype_that_is_no_weight(dtype: str, shapes: Shapes, tmp_path: Path) -> None:
    message = refusal(tmp_path, entries(shapes) | {NORM: (dtype, (96,))})
    assert f"{NORM} ({dtype})" in message


@pytest.mark.parametrize(
    ("dtype", "number"),
    [
        ("F16", struct.pack("<e", float("nan"))),
        ("F16", struct.pack("<e", float("-inf"))),
        ("BF16", struct.pack("<f", float("nan"))[2:]),
        ("F32", struct.pack("<f", float("nan"))),
        ("F32", struct.pack("<f", float("inf"))),
    ],
)
def test_numbers_that_are_none(dtype: str, number: bytes, shapes: Shapes, tmp_path: Path) -> None:
    key = "bb.patch_embed.norm.weight"
    message = refusal(tmp_path, entries(shapes, dtype=dtype), {key: number})
    assert f"{key} holds numbers that are not finite" in message


def test_positions_in_another_order(shapes: Shapes, tmp_path: Path) -> None:
    key = f"bb.layers.1.blocks.0.attn.{POSITIONS}"
    message = refusal(tmp_path, entries(shapes) | {key: ("I64", (49, 49))})
    assert key in message
    message = refusal(tmp_path, entries(shapes) | {key: ("I64", (144, 144))})
    assert f"{key} (144x144 instead of 49x49)" in message


def test_a_key_that_is_there_twice(shapes: Shapes, tmp_path: Path) -> None:
    held = entries(shapes)
    assert f"{NORM} twice" in refusal(tmp_path, held | {f"module.{NORM}": held[NORM]})


def test_another_backbone(shapes: Shapes, tmp_path: Path) -> None:
    held = entries(shapes) | {"bb.patch_embed.proj.weight": ("F16", (128, 3, 4, 4))}
    message = refusal(tmp_path, held)
    assert "128x3x4x4" in message
    assert "96 or 192" in message
    with pytest.raises(ModelError, match="96 or 192"):
        backbone_of(tmp_path / FILE)


def test_another_network(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"stage1.rebnconvin.conv_s1.weight": ("F32", (8, 3, 3, 3))})
    assert "bb.patch_embed.proj.weight is missing" in message


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 8,
        b"\x10\x00\x00\x00\x00\x00\x00\x00not json at all!",
        b"PK\x03\x04 a zip, such as torch.save writes",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 177634392\n",
    ],
)
def test_a_file_that_is_something_else(content: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert "damaged or no safetensors file" in refused(tmp_path / FILE)


def test_a_file_that_was_cut_off(checkpoint: Checkpoint, tmp_path: Path) -> None:
    content = checkpoint.file.read_bytes()
    for length in (len(content) - 1, 1000):
        (tmp_path / FILE).write_bytes(content[:length])
        assert "damaged" in refused(tmp_path / FILE)


def test_remote_code_is_never_asked_for() -> None:
    """The argument that lets a repository run its code on this machine is not in our code."""
    word = "trust_remote_code"
    package = Path(streammatte.__file__).parent
    sources = list(package.rglob("*.py"))
    assert len(sources) > 50
    assert [path for path in sources if word in path.read_text()] == []
