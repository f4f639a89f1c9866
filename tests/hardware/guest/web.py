"""Asks servers in the machine, and looks into the central's database, without the weight of their own clients."""

import json
import sqlite3
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

ANSWER_S = 30


def ask(port: int, path: str, body: Any = None) -> tuple[int, str]:
    """Ask, with a JSON body where one is given; return the status, 0 where nobody listens, and the answer."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_S)) as connection:
        try:
            if body is None:
                connection.request("GET", path)
            else:
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""


def await_status(port: int, path: str, status: int, within_s: float) -> bool:
    """Ask until the status is that; tell whether it was in time."""
    deadline = time.monotonic() + within_s
    while ask(port, path)[0] != status:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def rows(database: str, query: str) -> list[dict[str, Any]]:
    """Read rows of an SQLite database that a program in the machine holds open."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query)]
