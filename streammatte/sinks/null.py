"""A sink that forgets: for measurements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from streammatte.frames import Frame


class Null:
    """Takes every frame and counts it."""

    description = "nothing"
    bytes_expected: int | None = 0

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.count = 0

    def write(self, frame: Frame) -> None:  # noqa: ARG002  the contract
        """Count the frame."""
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Nothing to finish."""
