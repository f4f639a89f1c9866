"""How soon a ticket that is brought to a camera is read, on a clock of its own: on this machine and on slower ones.

A frame's processor time, times how much slower the machine is, says which frame is looked at next: the newest by then.
Frames come as JPEG, as cameras send them, so unpacking is in each figure.
"""

import math
import statistics
import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from bench.camera_readers import BRAMA, ZXING, Codes, plain_zxing, switched_on
from bench.figures import Figures, kept
from bench.scenes.clips import FPS, FRAMES, Clip, empty_clips, idle_clip, ticket_clips
from bench.scenes.lens import from_jpeg
from bench.scenes.tickets import canonical
from drivers.camera.frames import ArrayFrame, Frame
from drivers.camera.pixels import JpegFrame
from drivers.camera.watcher import Watcher

SEED = 1
CLIPS, PART = 120, 6
SLOWER = (1.0, 2.0, 5.0)
SOON_S = 0.8
GOALS = {1.0: 0.97, 2.0: 0.97}
"""Share read in time, by how much slower the machine is."""
EMPTY_MS, IDLE_SHARE = 3.0, 0.05

Look = Callable[[bytes, float], Codes]


@dataclass(frozen=True)
class Played:
    """How one clip went."""

    symbology: str
    number: int
    took_s: float
    """From when the code was whole in the frame until it was read; infinite: never."""
    wrong: Codes


def run(pool: Executor) -> None:
    """Measure and print."""
    parts = [pool.submit(_play_part, first, min(first + PART, CLIPS)) for first in range(0, CLIPS, PART)]
    played: dict[tuple[str, float], list[Played]] = {}
    for part in parts:
        for key, each in part.result():
            played.setdefault(key, []).append(each)
    print(f"camera: {CLIPS} clips of seed {SEED}, 1280x720 at {FPS} frames/s: from the code whole in view to its read")
    print(f"{'reader':>10} {'slower':>6} {'in 0.8 s':>8} {'median ms':>9} {'never':>6} {'wrong':>5}")
    for (reader, slower), runs in sorted(played.items()):
        print(f"{reader:>10} {slower:>6g} {_figures(runs)}" + _goal(reader, slower, runs))
    mine = played[BRAMA, 1.0]
    for symbology in sorted({each.symbology for each in mine}):
        print(f"{symbology:>17} {_figures([each for each in mine if each.symbology == symbology])}")
    late = [f"{each.symbology}:{each.number}" for each in mine if each.took_s > SOON_S]
    print(f"late or never at full speed: {', '.join(late) or 'none'}")
    wrong = [(each, *code) for each in mine for code in each.wrong]
    for each, kind, text in wrong:
        print(f"  wrong: clip {each.number} ({each.symbology}), read {text!r} ({kind})")


def run_empty() -> None:
    """Measure and print what frames without a code cost; to be run while nothing else does."""
    packed, whole = (_empty_costs(make) for make in (_packed, _unpacked))
    print(
        f"camera: frames of passers-by without a code, {len(whole.took)}: median {whole.p50_ms:.1f} ms,"
        f" p95 {whole.p95_ms:.1f} (goal: median at most {EMPTY_MS:g}) {kept(whole.p50_ms <= EMPTY_MS)};"
        f" with the JPEG unpacked: {packed.p50_ms:.1f}, p95 {packed.p95_ms:.1f}"
    )
    share = _idle_share()
    print(
        f"camera: nothing moves, {FPS} frames/s: {100 * share:.1f} % of one core"
        f" (goal: at most {100 * IDLE_SHARE:g}) {kept(share <= IDLE_SHARE)}"
    )


def _play_part(first: int, end: int) -> list[tuple[tuple[str, float], Played]]:
    """Run in a process of the pool."""
    played = []
    for number, clip in enumerate(ticket_clips(SEED, end, first), first):
        jpegs = list(clip.jpegs())
        for slower in SLOWER:
            for reader, look in ((BRAMA, _brama(clip)), (ZXING, _zxing)):
                played.append(((reader, slower), _play(number, clip, jpegs, look, slower)))
    return played


def _brama(clip: Clip) -> Look:
    watcher = Watcher(switched_on(clip.symbology))

    def look(packed: bytes, at_s: float) -> Codes:
        return tuple((each.kind, each.text) for each in watcher.look(_packed(packed, at_s)).codes)

    return look


def _zxing(packed: bytes, _: float) -> Codes:
    return plain_zxing(from_jpeg(packed))


def _play(number: int, clip: Clip, jpegs: list[bytes], look: Look, slower: float) -> Played:
    """Look at a clip to its end on a clock of its own."""
    assert clip.symbology is not None and clip.text is not None
    text = canonical(clip.symbology, clip.text)
    now_s, looked, read_at_s, wrong = 0.0, -1, math.inf, set()
    while looked < FRAMES - 1:
        looked = max(looked + 1, min(FRAMES - 1, int(now_s * FPS)))
        began_s = time.thread_time()
        codes = look(jpegs[looked], looked / FPS)
        now_s = max(now_s, looked / FPS) + (time.thread_time() - began_s) * slower
        for kind, each in codes:
            if canonical(clip.symbology, each) == text:
                read_at_s = min(read_at_s, now_s)
            else:
                wrong.add((kind, each))
        if slower > 1 and read_at_s < math.inf:
            break
    return Played(clip.symbology, number, max(0.0, read_at_s - clip.appears_at_s), tuple(sorted(wrong)))


def _figures(played: list[Played]) -> str:
    soon = sum(each.took_s <= SOON_S for each in played) / len(played)
    never = sum(each.took_s == math.inf for each in played) / len(played)
    median_ms = 1000 * statistics.median(each.took_s for each in played)
    return f"{100 * soon:>7.1f}% {median_ms:>9.0f} {100 * never:>5.1f}% {sum(len(each.wrong) for each in played):>5}"


def _goal(reader: str, slower: float, played: list[Played]) -> str:
    if reader != BRAMA or slower not in GOALS:
        return ""
    soon = sum(each.took_s <= SOON_S for each in played) / len(played)
    return f"  (goal: at least {100 * GOALS[slower]:g} %) {kept(soon >= GOALS[slower])}"


def _packed(packed: bytes, at_s: float) -> Frame:
    return JpegFrame(np.frombuffer(packed, dtype=np.uint8), at_s)


def _unpacked(packed: bytes, at_s: float) -> Frame:
    return ArrayFrame(from_jpeg(packed), at_s)


def _empty_costs(make: Callable[[bytes, float], Frame]) -> Figures:
    took = []
    for clip in empty_clips(SEED, 10):
        watcher = Watcher(switched_on(None))
        for number, packed in enumerate(clip.jpegs()):
            frame = make(packed, number / FPS)
            began_s = time.thread_time()
            watcher.look(frame)
            took.append(time.thread_time() - began_s)
    return Figures(took)


def _idle_share() -> float:
    """Return the share of one core that looking at a scene without movement takes, over 20 s of it."""
    jpegs = list(idle_clip(SEED).jpegs())
    watcher = Watcher(switched_on(None))
    count = 20 * FPS
    began_s = time.thread_time()
    for number in range(count):
        watcher.look(_packed(jpegs[number % FRAMES], number / FPS))
    return (time.thread_time() - began_s) / (count / FPS)
