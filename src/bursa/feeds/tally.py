"""Totals that lines count by themselves, told to telemetry as what came since."""

from bursa.ports import Intake


class Tally:
    """One channel's."""

    def __init__(self, intake: Intake, channel: int) -> None:
        self._intake, self._channel = intake, channel
        self._told: dict[tuple[str, str], int] = {}

    def tell(self, line: str, **totals: int) -> None:
        """The line's totals by their words, which never fall."""
        for word, total in totals.items():
            before = self._told.get((line, word), 0)
            if total != before:
                self._told[line, word] = total
                self._intake.count(self._channel, line, word, total - before)
