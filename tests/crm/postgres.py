"""A PostgreSQL server of one's own: made in a new folder, on a Unix socket there, gone at the end."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_DEBIAN_PATH = Path("/usr/lib/postgresql")
# Not /tmp, which may be memory: what is flushed is flushed to a disk here, as it is where the central really runs.
_FOLDERS = "/var/tmp"  # noqa: S108 - a folder of its own is made in it
_TIMEOUT_S = 60
# Another order of text than that of the code points, as most servers have: what must not depend on it, does not.
_LOCALE = ("--encoding=UTF8", "--locale-provider=icu", "--icu-locale=en-US", "--locale=C")


@dataclass
class Postgres:
    """A server; each of its databases is named by a URL."""

    folder: Path
    """Its own; where its socket is."""
    user: str | None
    """As whom it runs; None: as we do."""
    settings: tuple[str, ...]
    _process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def pid(self) -> int:
        """The process of which all others are children."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and return once it answers."""
        given = [part for each in self.settings for part in ("-c", each)]
        command = [_program("postgres"), "-D", str(self.folder / "data"), *given]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, user=self.user, cwd="/")
        ready = [_program("pg_isready"), "-q", "-h", str(self.folder), "-t", str(_TIMEOUT_S)]
        while subprocess.run(ready, check=False).returncode:
            assert self._process.poll() is None, (self.folder / "log").read_text()

    def stop(self) -> None:
        """Stop it in the middle of what it does, as when it is killed; what it has acknowledged is on the disk."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_TIMEOUT_S)
            self._process = None

    def url(self, database: str) -> str:
        """Return the URL under which `brama crm` finds a database."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def create(self, template: str = "template1") -> str:
        """Make a new database, a copy of another that nobody uses; return its name."""
        name = f"central_{next(self._numbers)}"
        self.ask(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def ask(self, sql: str, database: str = "postgres") -> None:
        """Run SQL, in one transaction where it is several statements."""
        command = [_program("psql"), "-qX", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", "postgres"]
        subprocess.run([*command, "-c", sql, database], check=True, stdout=subprocess.DEVNULL)

    def dump(self, database: str) -> bytes:
        """Return all that a database holds, as SQL."""
        command = [_program("pg_dump"), "-h", str(self.folder), "-U", "postgres", database]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def database_of(url: str) -> str:
    """Return the name of the database that `Postgres.url` names."""
    return url.partition("@/")[2].partition("?")[0]


@contextmanager
def postgres(*settings: str) -> Iterator[Postgres]:
    """Run a server; what it is told to keep is on the disk before it says so. `settings` are more of its own."""
    folder = Path(tempfile.mkdtemp(prefix="brama-postgres-", dir=_FOLDERS))
    user = "nobody" if os.geteuid() == 0 else None  # it refuses to be root
    given = ("listen_addresses=", f"unix_socket_directories={folder}", "max_connections=60", *settings)
    server = Postgres(folder, user, given)
    try:
        if user:
            shutil.chown(folder, user)
        made = ("-D", str(folder / "data"), "-U", "postgres", "--auth=trust", "--no-sync", *_LOCALE)
        subprocess.run([_program("initdb"), *made], check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


def _program(name: str) -> str:
    """Find one of PostgreSQL's programs: on the PATH, or where Debian puts the newest."""
    newest = max(_DEBIAN_PATH.glob("*/bin"), key=lambda path: float(path.parent.name), default=None)
    found = shutil.which(name, path=f"{newest}{os.pathsep}{os.environ['PATH']}")
    assert found, f"{name} is not installed: apt-get install postgresql"
    return found
