"""A camera's own process: takes its pictures, decodes them, and tells the gate. It may die at any time without harm.

Source: prctl(2), PR_SET_PDEATHSIG; setpriority(2); getrlimit(2), RLIMIT_DATA; proc(5), oom_score_adj.
"""

import ctypes
import os
import resource
import signal
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from drivers.camera.link import Link
from drivers.camera.messages import Ended, Stills, Stream, Task, VideoDevice
from drivers.protocols import DeviceLost, DeviceRefused

NICENESS = 5
"""What is to be read comes after what was read, and before a new list."""
MOST_MEMORY_BYTES = 768 << 20
"""A picture that is made to need more than this ends this process, not the box."""
OOM_SCORE = 500
"""Where the system must end something for want of memory, this goes before the gate."""
_PR_SET_PDEATHSIG = 1


def main(descriptor: int) -> NoReturn:
    """Work at the task that comes over `descriptor` until it ends, or the gate does."""
    try:
        restrain()
        link = Link(descriptor)
        link.say(ending(link.task(), link))
    finally:
        # The capture thread may hang in a camera's driver.
        os._exit(0)


def restrain() -> None:
    """Step back behind the gate in all that is scarce, as far as the system lets us."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the gate is told of these, and this ends with it
    with suppress(OSError):
        # Threads that hold the interpreter for good cannot hear that the gate has gone; the kernel does.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    for limit, most in ((resource.RLIMIT_DATA, MOST_MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        with suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(f"{OOM_SCORE}", encoding="ascii")


def ending(task: Task, link: Link) -> Ended:
    """Work at a task; return why that ended."""
    try:
        work(task, link)
    except DeviceLost as exc:
        return Ended(str(exc))
    except DeviceRefused as exc:
        return Ended(str(exc), refused=True)
    except ImportError as exc:
        # Of its name it is said no more: a library that does not load tells a whole story.
        mend = "pip install 'brama[camera]'"
        return Ended(f"{named(task)}: cameras need: {mend} ({exc.name or 'a library'} does not load)", refused=True)
    except MemoryError:
        return Ended(f"{named(task)}: its pictures need more memory than there may be; ask it for smaller ones")
    except Exception as exc:  # noqa: BLE001 (the gate is told, and starts it anew)
        # No more than its kind and place: the text may hold a password, or what a stranger's code holds.
        place = traceback.extract_tb(exc.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        return Ended(f"{named(task)}: defect in the camera's process: {type(exc).__name__} in {where}")


def work(task: Task, link: Link) -> NoReturn:
    """Do a task; what is cheap to find out is found out before the large libraries are loaded.

    Raises:
        DeviceLost, DeviceRefused: the source went, or cannot be had.
        ImportError: a library is missing.
    """
    # OpenCV reads these when it is loaded, and threads cost memory that one frame at a time has no use for.
    os.environ.update(OPENCV_LOG_LEVEL="OFF", OPENCV_FFMPEG_LOGLEVEL="-8", OPENBLAS_NUM_THREADS="1")
    match task.source:
        case VideoDevice(path):
            from drivers.video_node import probe

            probe(path)
        case Stream() as stream:
            from drivers.camera.stream import reach

            reach(stream)
        case Stills():
            from drivers.camera.still_work import decode_as_asked

            decode_as_asked(task, link)
    from drivers.camera.live import watch

    watch(task, link)


def named(task: Task) -> str:
    """Name a task's source for people."""
    match task.source:
        case VideoDevice(path):
            return path
        case Stream(shown=shown):
            return shown
        case Stills(paths):
            return paths[0] if len(paths) == 1 else "still pictures"
