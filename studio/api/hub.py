"""Models of the Hugging Face hub, fetched so that nothing comes twice.

A download goes on in a hidden folder of the artist's models folder, each file by HTTP Range, and is named
``ORG--NAME`` when all of it is there and every checksum is right.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from studio.api.context import Context
from studio.api.events import Notice, Progress
from studio.core.errors import BadInput
from studio.core.humanize import format_size
from studio.core.licences import describe_licence

__all__ = ["TIMEOUT", "HubFile", "HubFiles", "Pick", "describe_licence", "download_model"]

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as lost."""
_SAY = 0.2
"""Seconds between two reports of how far it is."""
_CARDS = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository. `digest` is its SHA-256 for large files, for others the SHA-1 that Git gives a blob."""

    path: str
    size: int
    digest: str

    def is_whole(self, file: Path, step: Callable[[], None]) -> bool:
        """Whether a file has the right bytes; `step` is called now and then."""
        git = len(self.digest) == 40
        sum_ = hashlib.sha1(b"blob %d\0" % file.stat().st_size) if git else hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(2**22):
                sum_.update(block)
                step()
        return sum_.hexdigest() == self.digest


HubFiles: TypeAlias = Mapping[str, HubFile]
Pick: TypeAlias = Callable[[str, HubFiles, dict[str, Any]], list[str]]
"""Which files are wanted, of a name, all files by path, and what stands in the head."""


def download_model(
    name: str, ctx: Context, *, head: str, pick: Pick, of: str, cached: Callable[[str], Path | None]
) -> Path:
    """The folder of a model, by its name on the hub: one fetched before, that which `cached` finds, or fetched now.

    `head` is the JSON file that every such model has, `pick` tells from it what else is wanted, and `of` names the
    format ("diffusers").

    Raises BadInput, with one sentence, for what is not there, not allowed, not whole, or too large for the disk. A
    cancel and a lost connection leave what has come, and the next call goes on from there.
    """
    own = ctx.downloads / name.replace("/", "--")
    return (own if own.is_dir() else None) or cached(name) or _fetched(name, ctx, head, pick, of)


def _fetched(name: str, ctx: Context, head: str, pick: Pick, of: str) -> Path:
    ctx.emit(Progress(0, 0, f"Looking for {name}"))
    own, work = ctx.downloads / name.replace("/", "--"), ctx.downloads / f".{name.replace('/', '--')}.part"
    with _in_sentences(name), _alone(name, work):
        if own.is_dir():
            return own
        revision, files, licence = _asked(name)
        if head not in files:
            raise BadInput(f"{name} is not in the format of {of}: it has no {head}.", "Choose a model that has one.")
        for old in work.iterdir():
            if old.is_dir() and old.name != revision:
                shutil.rmtree(old)
        download = _Download(name, revision, work / revision, ctx)
        download.take([files[head]])
        picked = pick(name, files, _read(work / revision / head, name))
        missing = [path for path in picked if path not in files]
        if missing:
            raise BadInput(f"{name} is incomplete on the hub: {missing[0]} is missing.", "Choose another model.")
        ctx.emit(Notice(f"{describe_licence(name, licence)} Its page is huggingface.co/{name}"))
        download.take([files[path] for path in dict.fromkeys([*picked, *(set(_CARDS) & files.keys())])])
        (work / revision).rename(own)
    shutil.rmtree(work, ignore_errors=True)
    return own


class _Download:
    """Files of one revision, each on its way to `folder`."""

    def __init__(self, name: str, revision: str, folder: Path, ctx: Context) -> None:
        self._name, self._revision, self._folder, self._ctx = name, revision, folder, ctx
        self._done = self._total = 0
        self._said = 0.0

    def take(self, files: list[HubFile]) -> None:
        """Raises BadInput where the disk is too small or bytes are wrong, and the network's errors."""
        self._total = sum(file.size for file in files)
        self._done = sum(min(file.size, self._size(file)) for file in files)
        self._folder.mkdir(parents=True, exist_ok=True)
        left, free = self._total - self._done, shutil.disk_usage(self._folder).free
        if left > free:
            raise BadInput(
                f"{self._name} needs {format_size(left)} more, "
                f"and {self._folder.parents[1]} has {format_size(free)} left.",
                "Free some space and run it again.",
            )
        for file in files:
            if not (self._folder / file.path).is_file():
                self._take(file)

    def _take(self, file: HubFile) -> None:
        from huggingface_hub.utils import httpx

        part = self._part(file)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        if part.stat().st_size > file.size:
            part.write_bytes(b"")
        while (had := part.stat().st_size) < file.size:
            try:
                self._go_on(file, part, had)
            except httpx.TransportError as error:
                if part.stat().st_size == had:  # as long as something comes it is worth another connection
                    raise self._lost() from error
        if not file.is_whole(part, self._ctx.check_cancelled):
            part.unlink()
            raise BadInput(
                f"{file.path} of {self._name} did not arrive as it was sent.",
                "Run it again: that file is fetched anew.",
            )
        part.rename(self._folder / file.path)

    def _go_on(self, file: HubFile, part: Path, had: int) -> None:
        from huggingface_hub import get_token, hf_hub_url
        from huggingface_hub.utils import get_session, hf_raise_for_status

        url = hf_hub_url(self._name, file.path, revision=self._revision)
        token = get_token()
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={had}-"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
            if response.status_code >= 400:
                response.read()
            hf_raise_for_status(response)
            again = response.status_code != 206
            self._done -= had if again else 0
            with part.open("wb" if again else "ab", buffering=0) as stream:
                for block in response.iter_raw():
                    stream.write(block)
                    self._done += len(block)
                    self._say()

    def _say(self) -> None:
        self._ctx.check_cancelled()
        if (now := time.monotonic()) - self._said >= _SAY or self._done == self._total:
            self._said = now
            far = f"{format_size(self._done)} of {format_size(self._total)}"
            self._ctx.emit(Progress(self._done, self._total, f"Downloading {self._name}: {far}"))

    def _lost(self) -> BadInput:
        return BadInput(
            f"The connection was lost at {format_size(self._done)} of {format_size(self._total)} of {self._name}.",
            "Run it again: it goes on where it stopped.",
        )

    def _size(self, file: HubFile) -> int:
        for path in (self._folder / file.path, self._part(file)):
            if path.is_file():
                return path.stat().st_size
        return 0

    def _part(self, file: HubFile) -> Path:
        return self._folder / f"{file.path}.part"


def _asked(name: str) -> tuple[str, dict[str, HubFile], str]:
    """The newest revision, its files, and its licence."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(name, files_metadata=True, timeout=TIMEOUT)
    files = {}
    for one in info.siblings or []:
        parts = PurePosixPath(one.rfilename)
        if parts.is_absolute() or ".." in parts.parts or set(one.rfilename) & set('\\:*?"<>|\0'):
            continue
        digest = one.lfs.sha256 if one.lfs else one.blob_id
        if one.size is not None and digest:
            files[one.rfilename] = HubFile(one.rfilename, int(one.size), str(digest))
    card = info.card_data.to_dict() if info.card_data else {}
    licence = card.get("license_name") or card.get("license") or ""
    return str(info.sha), files, licence if isinstance(licence, str) else ""


def _read(file: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadInput(f"The {file.name} of {name} is damaged on the hub.", "Choose another model.")
    return value


@contextmanager
def _alone(name: str, work: Path) -> Iterator[None]:
    """Two programs that add to the same files would spoil them."""
    from filelock import FileLock, Timeout

    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout as error:
        raise BadInput(f"{name} is being downloaded already.", "Wait until it is here, and run it again.") from error


@contextmanager
def _in_sentences(name: str) -> Iterator[None]:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import httpx

    token = "put a token of yours into the variable HF_TOKEN, or run `hf auth login`"
    try:
        yield
    except GatedRepoError as error:
        raise BadInput(
            f"{name} is given only to those who agreed to its terms on its page, huggingface.co/{name}.",
            f"Agree there, then {token}.",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BadInput(
            f"There is no model {name} on the Hugging Face hub, or it is private.",
            f"Check the name. For a private one {token}.",
        ) from error
    except HfHubHTTPError as error:
        raise BadInput(
            f"The Hugging Face hub refused {name}: it answered {error.response.status_code}.",
            "Run it again later: it goes on where it stopped.",
        ) from error
    except (httpx.HTTPError, ConnectionError) as error:
        raise BadInput(
            f"The model {name} is not on this computer, and the Hugging Face hub cannot be reached.",
            "Check the connection, or choose a folder.",
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        said = "the disk is full" if full else error.strerror or str(error)
        raise BadInput(f"{name} cannot be written: {said}.", "Free some space and run it again.") from error
