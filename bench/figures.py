"""Times measured, as the figures that are printed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """Durations in seconds."""

    took: list[float]

    @property
    def p50_ms(self) -> float:
        """Median, milliseconds."""
        return self._at(0.50)

    @property
    def p95_ms(self) -> float:
        """95th percentile, milliseconds."""
        return self._at(0.95)

    @property
    def p99_ms(self) -> float:
        """99th percentile, milliseconds."""
        return self._at(0.99)

    def _at(self, share: float) -> float:
        ordered = sorted(self.took)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def kept(is_kept: bool) -> str:
    """Return how a goal stands, to be printed behind it."""
    return "kept" if is_kept else "MISSED"
