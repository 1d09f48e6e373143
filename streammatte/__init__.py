"""StreamMatte: cuts the subject out of moving pictures and puts a new background behind it.

    >>> import streammatte
    >>> streammatte.render("talk.mp4", "talk_beach.mp4", bg="beach.jpg")  # doctest: +SKIP

    >>> for cutout in streammatte.mattes("talk.mp4"):                     # doctest: +SKIP
    ...     cutout.rgb, cutout.alpha, cutout.seconds

Importing this imports nothing heavy.
"""

from __future__ import annotations

from streammatte import errors
from streammatte.api import mattes, render

__all__ = ["__version__", "errors", "mattes", "render"]
__version__ = "0.1.0"
