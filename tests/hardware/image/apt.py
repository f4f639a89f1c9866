"""Debian packages by the machine's own apt, in folders of the build: the machine itself is left as it is.

The archives are those that the machine's apt has been given; `BRAMA_HARDWARE_SOURCES` names a file of others.
"""

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

RELEASE = "bookworm"
"""The Debian release inside the machine, whatever runs outside."""
TOOLS = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8"}
"""Environment of the tools: some lie where a plain user's PATH does not look."""
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/lib/udev/hwdb.d/*")
FETCHING = re.compile(r"Acquire::(https?|Retries|Check-|ForceIP|Proxy)", re.IGNORECASE)
MERGED = "/usr/share/mmdebstrap/hooks/merged-usr"
"""Makes /bin and /lib links before anything is unpacked, which else a package with half of Perl behind it would do."""


class CannotBuild(Exception):
    """Something that the build needs is missing; the message names the mend."""


def tool(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run a tool to its end and return what it printed.

    Raises:
        CannotBuild: it is not installed, or it failed; with the end of what it said.
    """
    try:
        done = subprocess.run(
            arguments, cwd=cwd, env={**TOOLS, **environment}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as exc:
        raise CannotBuild(f"{arguments[0]} is missing: make test-hardware installs it") from exc
    if done.returncode:
        raise CannotBuild(f"{' '.join(map(str, arguments))}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


@dataclass(frozen=True)
class Apt:
    """apt for one architecture, with lists and archives of its own in `folder`."""

    folder: Path
    architecture: str

    @property
    def sources(self) -> Path:
        """The archives in use, in the format of sources.list(5)."""
        return self.folder / "parts" / "debian.sources"

    def update(self) -> None:
        """Fetch the lists of packages."""
        for needed in ("lists/partial", "archives/partial", "parts"):
            (self.folder / needed).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        self.sources.write_text("\n\n".join(configured_sources()) + "\n")
        (self.folder / "apt.conf").write_text(
            f'APT::Architecture "{self.architecture}";\nAPT::Architectures "{self.architecture}";\n'
            f'Dir::State "{self.folder}";\nDir::State::status "{self.folder}/status";\n'
            f'Dir::Cache "{self.folder}";\nDir::Etc::sourcelist "/dev/null";\n'
            f'Dir::Etc::sourceparts "{self.folder}/parts";\nAPT::Sandbox::User "root";\n'
        )
        self._apt("apt-get", "update", "-q")

    def depends(self, package: str) -> str:
        """Return the first package that `package` depends on: how a name without a version leads to one with it."""
        found = re.search(r"Depends: (\S+)", self._apt("apt-cache", "depends", package))
        if not found:
            raise CannotBuild(f"{package} leads to no package: see the suites in {self.sources}")
        return found[1]

    def unpacked(self, *packages: str) -> Path:
        """Download packages, unpack each without configuring it, and return the folder they now share."""
        root = self.folder / "unpacked"
        for archive in self.downloaded(*packages):
            tool("dpkg-deb", "--extract", archive, root)
        return root

    def downloaded(self, *packages: str) -> list[Path]:
        """Download packages and return their files, in order."""
        archives = self.folder / "archives"
        self._apt("apt-get", "download", "-q", *packages, cwd=archives)
        return [next(archives.glob(f"{package}_*.deb")) for package in packages]

    def bootstrap(self, tar: Path, variant: str, packages: Sequence[str], *options: str) -> None:
        """Make a root file system of `packages` as a tar file; `variant` and `options` are mmdebstrap's."""
        left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
        how = [f"--aptopt={line}" for line in self._how_to_fetch()]
        chosen = [
            f"--architectures={self.architecture}",
            f"--variant={variant}",
            f"--include={','.join(packages)}",
            f"--hook-dir={MERGED}",
        ]
        tool("mmdebstrap", "--quiet", *chosen, *left_out, *how, *options, RELEASE, tar, self.sources)

    def _how_to_fetch(self) -> Iterable[str]:
        """What this machine's apt has been told of proxies and the like, which mmdebstrap would not look at."""
        dumped = tool("apt-config", "dump", "--format", '%F "%v";%n', "Acquire")
        return [line for line in dumped.splitlines() if FETCHING.match(line)]

    def _apt(self, *arguments: str, cwd: Path | None = None) -> str:
        return tool(*arguments, cwd=cwd, APT_CONFIG=str(self.folder / "apt.conf"))


def configured_sources() -> list[str]:
    """Return where this machine's apt has Debian from, for the release, as deb822 stanzas (sources.list(5))."""
    if given := os.environ.get("BRAMA_HARDWARE_SOURCES"):
        return [Path(given).read_text()]
    system = platform.freedesktop_os_release()
    here = system.get("VERSION_CODENAME", "") if system["ID"] in {"debian", "raspbian"} else RELEASE
    stanzas = [part for text in texts("sources.list.d/*.sources") for part in re.split(r"\n\s*\n", text)]
    lines = [line for text in texts("sources.list", "sources.list.d/*.list") for line in text.splitlines()]
    found = [stanza for stanza in [*stanzas, *map(as_stanza, lines)] if offers(stanza, here)]
    if not found:
        raise CannotBuild(
            f"apt here has no source of Debian {RELEASE}: name a deb822 file of some in BRAMA_HARDWARE_SOURCES"
        )
    # An archive that has this machine's release has the other too.
    return [re.sub(rf"\b{here}\b", RELEASE, stanza) for stanza in found]


def texts(*patterns: str) -> Iterable[str]:
    """Read what apt has been told."""
    return [path.read_text() for pattern in patterns for path in sorted(Path("/etc/apt").glob(pattern))]


def as_stanza(line: str) -> str:
    """Turn a line `deb [options] URI suite component …` into a stanza; empty where it is no such line."""
    found = re.match(r"deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+(\S.*)", line)
    if not found:
        return ""
    options, uri, suite, components = found.groups(default="")
    key = re.search(r"signed-by=(\S+)", options)
    fields = {"Types": "deb", "URIs": uri, "Suites": suite, "Components": components}
    return "\n".join(f"{name}: {value}" for name, value in {**fields, **({"Signed-By": key[1]} if key else {})}.items())


def offers(stanza: str, release: str) -> bool:
    """Tell whether a stanza is of a release's main archive."""
    fields = dict(re.findall(r"(?m)^(\w[\w-]*):[ \t]*(.*)$", stanza))
    suites = {release, f"{release}-updates", f"{release}-security"}
    return bool(suites & set(fields.get("Suites", "").split())) and "main" in fields.get("Components", "").split()
