"""What the checks of scans share: sending rows, and seeing them taken."""

from collections.abc import Sequence
from typing import Any

from crm.conformance.client import Answer
from crm.conformance.errors import Broken
from crm.conformance.subject import Subject
from sync.wire import ScansAnswer


async def post(subject: Subject, rows: Sequence[dict[str, Any]], **more: Any) -> Answer:
    """Post rows as a gate does, with `more` fields in the request."""
    box = subject.need_me().box
    return await subject.client.post("/scans", box.token, {"device_id": box.device_id, "scans": list(rows), **more})


async def taken(subject: Subject, rows: Sequence[dict[str, Any]], mend: str, **more: Any) -> ScansAnswer:
    """Post rows of which the CRM must take each.

    Raises:
        Broken: the request is refused, a row is rejected, or the last seq is not acknowledged.
    """
    answer = await post(subject, rows, **more)
    if answer.status != 200:
        raise Broken(f"{answer.status} {answer.start()}", mend)
    found = answer.read(ScansAnswer)
    if found.rejected:
        first = found.rejected[0]
        raise Broken(f"{len(found.rejected)} of {len(rows)} rejected: {first.code}: {first.message}"[:300], mend)
    last = max(row["seq"] for row in rows)
    if found.acked < last:
        raise Broken(f"acked {found.acked}, the last seq is {last}", mend)
    return found
