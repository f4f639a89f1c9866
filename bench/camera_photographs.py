"""Read rate, wrong payloads and milliseconds on photographs, of each symbology and each condition."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

from bench.camera_readers import BRAMA, PYZBAR, ZXING, Codes, Result, still_readers, timed
from bench.figures import Figures, kept
from bench.scenes.photographs import CONDITIONS, Photograph, photographs
from bench.scenes.tickets import SYMBOLOGIES, canonical

SEED = 1
COUNTS = {"qr": 200, "aztec": 80, "pdf417": 80, "data_matrix": 80, "code128": 80}
"""Of the others there are `FEWER`; twice as many of all to tell the conditions apart."""
FEWER = 50
PART = 10
NEVER_WRONG = ("qr", "aztec", "data_matrix", "pdf417", "code128")
READERS = (BRAMA, ZXING, PYZBAR)


@dataclass(frozen=True)
class Outcome:
    """One photograph, and what each reader made of it."""

    symbology: str
    number: int
    conditions: tuple[str, ...]
    text: str
    shown: frozenset[str]
    results: dict[str, Result]

    def read(self, reader: str) -> bool:
        """Tell whether the reader found the code."""
        return self.text in {canonical(self.symbology, text) for _, text in self.results[reader].codes}

    def wrong(self, reader: str) -> Codes:
        """Return what the reader found that is not in the picture."""
        return tuple(
            (kind, text)
            for kind, text in self.results[reader].codes
            if canonical(self.symbology, text) not in self.shown
        )


def run(pool: Executor, by_condition: bool = False) -> None:
    """Measure and print; by condition: a second table, of what is wrong with the photographs."""
    parts = [
        pool.submit(_outcomes, symbology, first, min(first + PART, count))
        for symbology in SYMBOLOGIES
        for count in (COUNTS.get(symbology, FEWER) * (1 + by_condition),)
        for first in range(0, count, PART)
    ]
    outcomes = [each for part in parts for each in part.result()]
    readers = [each for each in READERS if each in outcomes[0].results]
    print(
        f"camera: photographs of tickets, {len(outcomes)} of seed {SEED}: read, wrong payloads, median ms of one core"
    )
    print(f"{'symbology':>12} {'photos':>6} " + " ".join(f"{each:>9} {'wrong':>5} {'ms':>6}" for each in readers))
    for symbology in SYMBOLOGIES:
        mine = [each for each in outcomes if each.symbology == symbology]
        print(f"{symbology:>12} {len(mine):>6} {_columns(mine, readers)}  {_kept(mine, readers)}")
    if by_condition:
        _print_conditions([each for each in outcomes if each.symbology == "qr"], readers, "qr")
        _print_conditions(outcomes, readers, "all")
    _print_wrong(outcomes)


def _outcomes(symbology: str, first: int, end: int) -> list[Outcome]:
    """Run in a process of the pool."""
    readers = still_readers(symbology)
    return [
        Outcome(
            symbology,
            number,
            picture.conditions,
            canonical(symbology, picture.text),
            frozenset(_shown(picture)),
            {name: timed(read, picture.luma) for name, read in readers.items()},
        )
        for number, picture in enumerate(photographs(SEED, symbology, end, first), first)
    ]


def _shown(picture: Photograph) -> Iterator[str]:
    for symbology, text in (
        (picture.symbology, picture.text),
        *((each.symbology, each.text) for each in picture.others),
    ):
        yield canonical(picture.symbology, text)
        yield canonical(picture.symbology, canonical(symbology, text))


def _columns(outcomes: list[Outcome], readers: Iterable[str]) -> str:
    return " ".join(
        f"{_rate(outcomes, each):>8.1f}% {sum(bool(one.wrong(each)) for one in outcomes):>5}"
        f" {Figures([one.results[each].took_s for one in outcomes]).p50_ms:>6.1f}"
        for each in readers
    )


def _rate(outcomes: list[Outcome], reader: str) -> float:
    return 100 * sum(each.read(reader) for each in outcomes) / max(1, len(outcomes))


def _kept(outcomes: list[Outcome], readers: list[str]) -> str:
    """Say whether Brama reads no less than the better of the others."""
    best = max(_rate(outcomes, each) for each in readers if each != BRAMA)
    return kept(_rate(outcomes, BRAMA) >= best)


def _print_conditions(outcomes: list[Outcome], readers: list[str], what: str) -> None:
    print(f"by condition, {what}: read of the photographs that have it, alone or among others")
    for condition in (*CONDITIONS, "none"):
        mine = [each for each in outcomes if condition in each.conditions]
        rates = " ".join(f"{_rate(mine, each):>8.1f}%" for each in readers)
        missed = [f"{each.symbology}:{each.number}" for each in mine if not each.read(BRAMA) and each.read(ZXING)]
        print(f"{condition:>12} {len(mine):>6} {rates}" + (f"  zxing-cpp alone: {', '.join(missed)}" if missed else ""))


def _print_wrong(outcomes: list[Outcome]) -> None:
    """Say what Brama read that is not there, each by its photograph's number."""
    wrong = [(each, kind, text) for each in outcomes for kind, text in each.wrong(BRAMA)]
    for each, kind, text in wrong:
        print(f"  wrong: {each.symbology} photograph {each.number} says {each.text!r}, read {text!r} ({kind})")
    worst = sum(kind in NEVER_WRONG for _, kind, _ in wrong)
    print(f"payloads read wrong as {', '.join(NEVER_WRONG)}: {worst} (goal: none) {kept(not worst)}")
