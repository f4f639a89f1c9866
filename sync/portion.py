"""How many scans a CRM is offered at once. Pure: no clock, no scans."""


class Portion:
    """Half as many after a failure, twice as many after a success.

    A refusal is looked into by halves: one of those that were offered is not wanted, and the rest wait for it.
    """

    def __init__(self, limit: int) -> None:
        """`limit` is never exceeded."""
        self._limit = limit
        self._offered = limit
        self._among = 0
        """How many of the next ones the scan that is not wanted is among; 0: none is looked for."""
        self.most = limit
        """How many to offer next, at least 1."""
        self.refused_alone = 0
        """Requests in a row that the CRM refused for one scan."""

    def offered(self, count: int) -> None:
        """Note how many are offered now; one of the three others follows."""
        self._offered = count

    def settled(self, count: int, *, refused: bool = False) -> None:
        """Note that so many of them are out of the way; `refused`: it was one, and the CRM refused the request."""
        self.refused_alone = self.refused_alone + 1 if refused else 0
        self._among = max(0, self._among - count)
        self.most = max(1, self._among // 2) if self._among else min(self._limit, self.most * 2)

    def refused(self) -> None:
        """Note that the CRM refused a request for several."""
        self._among = self._offered
        self._halve()

    def failed(self) -> None:
        """Note that nobody knows what became of them; the CRM may not be able to take as many at once."""
        self._among = 0
        self._halve()

    def _halve(self) -> None:
        # Of what was offered, and not of what might have been: else it would be the same scans several times over.
        self.most = max(1, min(self.most, self._offered) // 2)
