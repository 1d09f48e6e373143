"""The network that ships inside the package: people before a camera, in real time on a CPU."""

from __future__ import annotations

from pathlib import Path

from streammatte.models.base import ModelCard
from streammatte.models.weights import Embedded

CARD = ModelCard(
    name="selfie",
    summary="people within about 4 m of the camera; 0.1 M weights, real time on one CPU core",
    weights=Embedded(
        Path(__file__).parent.parent / "data" / "selfie_general.onnx",
        "cbf67f6566b46dbaf815bce712c3c44107154c2476f62e2f226a2e6bbd3edaef",
    ),
    licence="Apache-2.0",
    commercial=True,
    origin="MediaPipe Selfie Segmentation (general), Google, from the PyPI wheel mediapipe 0.10.21",
    training_data="not published; see Google's ML Kit selfie segmentation model card (2021)",
    limits="thin parts may be missed; not a person detector; not for identity or surveillance",
    short_side=256,
    short_side_range=(192, 512),
    stride=32,
    # Of upright phone footage at 256x448 it loses torsos; at 192x352 it sees people whole.
    tallest=352,
    coarse=True,
)
