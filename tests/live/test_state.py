from __future__ import annotations

import itertools

import pytest

from streammatte.live.state import STALE, Signs, judge

WELL = Signs(subject=True, age=0.0, begun=True)


def test_all_is_well() -> None:
    assert judge(WELL).name == "live"
    assert not judge(WELL).reason


@pytest.mark.parametrize(
    ("signs", "name", "words"),
    [
        (Signs(), "starting", "waiting"),
        (Signs(trouble="the network is being opened"), "starting", "being opened"),
        (Signs(subject=False, age=0, begun=True), "blind", "no matte to trust"),
        (Signs(subject=False, age=0, begun=True, trouble="it failed"), "blind", "it failed"),
        (Signs(subject=True, age=STALE + 0.1, begun=True), "blind", "no matte"),
        (Signs(camera="lost", camera_reason="unplugged", subject=True, age=0), "lost", "unplugged"),
        (Signs(camera="stalled", subject=True, age=0), "lost", "gives no pictures"),
        (Signs(camera="ended", subject=True, age=0), "lost", "ended"),
        (Signs(show="slate", subject=True, age=0), "held", "slate"),
        (Signs(show="freeze", camera="lost"), "held", "freeze"),
        (Signs(asleep=True, subject=True, age=0), "asleep", "nobody"),
    ],
)
def test_what_is_wrong_is_said(signs: Signs, name: str, words: str) -> None:
    state = judge(signs)
    assert state.name == name
    assert words in state.reason


def test_only_a_fresh_trusted_matte_and_a_running_camera_are_live() -> None:
    """Every combination of signs; whatever else is well, one that is not is enough."""
    shows = ("subject", "background", "slate", "freeze")
    cameras = ("starting", "running", "stalled", "lost", "ended")
    for show, camera, asleep, subject, age, begun in itertools.product(
        shows, cameras, (False, True), (False, True), (0.0, STALE + 0.01), (False, True)
    ):
        signs = Signs(show, camera, "", asleep, subject, age, "", begun)  # type: ignore[arg-type]
        well = show == "subject" and camera in ("starting", "running") and not asleep
        assert (judge(signs).name == "live") == (well and subject and age <= STALE)
