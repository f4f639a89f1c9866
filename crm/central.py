"""The central as one thing to open: its database and the application that serves it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from crm.database import Clock, Database, open_database, system_clock
from crm.pages import add_pages
from crm.web import make_app


@dataclass(frozen=True, slots=True)
class Central:
    """An open central.

    `db` goes first into the functions of `crm.service`, `crm.enrolment`, `crm.importer` and `crm.reports`, which may
    be called in the process that serves: waiting gates hear of it at once.
    """

    db: Database

    def app(self) -> web.Application:
        """Build the application: the Gate API for the network, the organiser's page for this machine only."""
        app = make_app(self.db)
        add_pages(app, self.db)
        return app


@asynccontextmanager
async def open_central(
    db_url: str | Path, clock: Clock = system_clock, organiser: str = "Organiser"
) -> AsyncGenerator[Central, None]:
    """Open the central at a file path or database URL, made or migrated first.

    `clock` tells aware UTC; `organiser` names a new central.

    Raises:
        BadInput: the database cannot be opened.
    """
    async with open_database(db_url, clock, organiser) as db:
        yield Central(db)
