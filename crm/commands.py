"""What the central's commands share: the database option, errors as one line, tables."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from sqlalchemy.exc import DBAPIError

from crm.central import Central, open_central
from crm.errors import BadInput

Db = Annotated[str, typer.Option("--db", envvar="BRAMA_CRM_DB", help="Database file, or a URL.", show_default=True)]
DEFAULT_DB = "./brama-central.db"
Result = TypeVar("Result")


def work(db: str, job: Callable[[Central], Awaitable[Result]]) -> Result:
    """Open the central, do the job, close it; what is wrong is one line on stderr and exit code 1."""

    async def opened() -> Result:
        async with open_central(db) as central:
            return await job(central)

    try:
        return asyncio.run(opened())
    except BadInput as exc:
        raise failed(str(exc)) from exc
    except DBAPIError as exc:
        raise failed(f"db: the database does not answer ({exc.orig}); is another import running? Try again") from exc
    except UnicodeEncodeError as exc:
        raise failed("arguments: not UTF-8; check the terminal's encoding") from exc


def failed(message: str) -> typer.Exit:
    """Say what is wrong on stderr; raise what this returns."""
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(1)


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; what comes from outside is shown as it is, never as markup."""
    # Ids are copied from here: a narrow terminal folds a cell, and cuts none.
    table = Table(*(Column(each, overflow="fold") for each in columns))
    for row in rows:
        table.add_row(*["" if cell is None else escape(str(cell)) for cell in row])
    Console().print(table)
