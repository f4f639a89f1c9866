"""Work that costs by the transaction and little by the item: what comes while one is under way shares the next."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Item, Result]):
    item: Item
    results: Sequence[Result] = ()
    """One, once the item is done."""
    alone: bool = False


class Gathered(Generic[Item, Result]):
    """Has one `work` do the items of all who wait; the longest waiting does it for the others, and no task is needed.

    Where the work fails for several items together, each is done alone, so that it fails only for whom it must.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        fits: Callable[[Sequence[Item], Item], bool] = lambda _items, _more: True,
    ) -> None:
        """`work` returns a result for each item, in their order; `fits` tells whether these items can take one more."""
        self._work = work
        self._fits = fits
        self._waiting: list[_Waiting[Item, Result]] = []
        self._turn = asyncio.Lock()

    async def do(self, item: Item) -> Result:
        """Return the item's result once it is done; raises what the work raises for it."""
        mine: _Waiting[Item, Result] = _Waiting(item)
        self._waiting.append(mine)
        try:
            async with self._turn:
                if not mine.results and not mine.alone:
                    await self._do_with_others(mine)
                if not mine.results:
                    mine.results = await self._work([item])
        finally:
            self._waiting.remove(mine)
        return mine.results[0]

    async def _do_with_others(self, mine: _Waiting[Item, Result]) -> None:
        batch, items = [mine], [mine.item]
        for each in self._waiting:
            if each is not mine and not each.results and not each.alone and self._fits(items, each.item):
                batch.append(each)
                items.append(each.item)
        if len(batch) == 1:
            return
        try:
            results = await self._work(items)
        except Exception:  # noqa: BLE001 - what it is, each is then told alone
            _log.warning("%d items could not be done together; doing each alone", len(batch), exc_info=True)
            for each in batch:
                each.alone = True
        else:
            for each, result in zip(batch, results, strict=True):
                each.results = (result,)
