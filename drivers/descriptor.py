"""File descriptors of devices: waiting, beside the event loop, for one that has something to read."""

import asyncio
import errno
import select

GONE = frozenset({errno.ENODEV, errno.EIO, errno.ENOENT, errno.ENXIO})
"""By these the kernel tells that a device is not there any more: evdev by ENODEV, hidraw and terminals by EIO."""


async def until_readable(descriptor: int, timeout_s: float | None = None, *, wake: asyncio.Event | None = None) -> bool:
    """Wait until there may be something to read; False: the time is up, or `wake` was set, and there is nothing.

    The loop watches only while this waits: a descriptor that nobody reads for a while must not keep it busy.
    """
    loop, ready = asyncio.get_running_loop(), wake or asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        async with asyncio.timeout(timeout_s):
            await ready.wait()
    except TimeoutError:
        # A loop that was held up finds the time over before it has looked at what came in time.
        return is_readable(descriptor)
    finally:
        loop.remove_reader(descriptor)
    return wake is None or is_readable(descriptor)


def is_readable(descriptor: int) -> bool:
    """Tell whether there is something to read now, or whatever was behind the descriptor is gone."""
    look = select.poll()
    look.register(descriptor, select.POLLIN)
    return bool(look.poll(0))
