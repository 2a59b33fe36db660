"""Download models from the Hugging Face hub, resuming after an interruption.

Files are downloaded by HTTP Range requests into a hidden folder of the artist's models folder. It is renamed to
``ORG--NAME`` when the model is complete and every checksum is right.
"""

from __future__ import annotations

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
from studio.core.files import is_disk_full
from studio.core.humanize import format_size
from studio.core.licences import describe_licence

__all__ = ["TIMEOUT", "ChooseFiles", "HubFile", "HubFiles", "describe_licence", "download_model"]

TIMEOUT = 30.0
"""Seconds without data after which a connection counts as lost."""
_REPORT_INTERVAL = 0.2
"""Seconds between two progress events."""
_CARDS = ("README.md", "LICENSE", "LICENSE.md", "LICENSE.txt")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository: path, size in bytes, and digest.

    The digest is the SHA-256 of LFS files, and of others the SHA-1 of the Git blob.
    """

    path: str
    size: int
    digest: str

    def matches(self, file: Path, check_cancelled: Callable[[], None]) -> bool:
        """Check the digest of a downloaded file; `check_cancelled` is called every 4 MB."""
        is_git = len(self.digest) == 40
        digest = hashlib.sha1(b"blob %d\0" % file.stat().st_size) if is_git else hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(2**22):
                digest.update(block)
                check_cancelled()
        return digest.hexdigest() == self.digest


HubFiles: TypeAlias = Mapping[str, HubFile]
"""Files of a repository by path."""
ChooseFiles: TypeAlias = Callable[[str, HubFiles, dict[str, Any]], list[str]]
"""Returns the paths to download, given the model's name, its files, and the contents of its index file."""


def download_model(
    name: str,
    ctx: Context,
    *,
    index_file: str,
    choose_files: ChooseFiles,
    format_name: str,
    find_cached: Callable[[str], Path | None],
) -> Path:
    """Return the folder of a model of the hub, downloading it if needed.

    A folder ``ORG--NAME`` in `ctx.downloads` comes first, then what `find_cached` finds in other caches. Otherwise
    `index_file`, a JSON file that every model of this format has, is downloaded, and then the files that
    `choose_files` asks for. `format_name` is for messages ("diffusers").

    Raises BadInput if the model does not exist, is gated, incomplete, or too large for the disk. After a cancel or a
    lost connection, the next call resumes.
    """
    folder = ctx.downloads / name.replace("/", "--")
    if folder.is_dir():
        return folder
    return find_cached(name) or _download(name, ctx, folder, index_file, choose_files, format_name)


def _download(
    name: str, ctx: Context, folder: Path, index_file: str, choose_files: ChooseFiles, format_name: str
) -> Path:
    ctx.emit(Progress(0, 0, f"Looking for {name}"))
    work = ctx.downloads / f".{folder.name}.part"
    with _translate_errors(name), _lock(name, work):
        if folder.is_dir():
            return folder
        revision, files, licence = _request_files(name)
        if index_file not in files:
            raise BadInput(
                f"{name} is not in the format of {format_name}: it has no {index_file}.",
                "Choose a model that has entry.",
            )
        for old in work.iterdir():
            if old.is_dir() and old.name != revision:
                shutil.rmtree(old)
        download = _Download(name, revision, work / revision, ctx)
        download.add([files[index_file]])
        chosen = choose_files(name, files, _read_index(work / revision / index_file, name))
        missing = [path for path in chosen if path not in files]
        if missing:
            raise BadInput(f"{name} is incomplete on the hub: {missing[0]} is missing.", "Choose another model.")
        ctx.emit(Notice(f"{describe_licence(name, licence)} Its page is huggingface.co/{name}"))
        download.add([files[path] for path in dict.fromkeys([*chosen, *(set(_CARDS) & files.keys())])])
        (work / revision).rename(folder)
    shutil.rmtree(work, ignore_errors=True)
    return folder


class _Download:
    """Downloads files of one revision into `folder`."""

    def __init__(self, name: str, revision: str, folder: Path, ctx: Context) -> None:
        self._name, self._revision, self._folder, self._ctx = name, revision, folder, ctx
        self._done = self._total = 0
        self._reported = 0.0

    def add(self, files: list[HubFile]) -> None:
        """Download files. Raises BadInput if the disk is too small or a digest is wrong, and network errors."""
        self._total = sum(file.size for file in files)
        self._done = sum(min(file.size, self._received(file)) for file in files)
        self._folder.mkdir(parents=True, exist_ok=True)
        missing, free = self._total - self._done, shutil.disk_usage(self._folder).free
        if missing > free:
            raise BadInput(
                f"{self._name} needs {format_size(missing)} more, "
                f"and {self._folder.parents[1]} has {format_size(free)} left.",
                "Free some space and run it again.",
            )
        for file in files:
            if not (self._folder / file.path).is_file():
                self._download(file)

    def _download(self, file: HubFile) -> None:
        from huggingface_hub.utils import httpx

        part = self._part(file)
        part.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        if part.stat().st_size > file.size:
            part.write_bytes(b"")
        while (received := part.stat().st_size) < file.size:
            try:
                self._resume(file, part, received)
            except httpx.TransportError as error:
                if part.stat().st_size == received:  # while data arrives, another connection is worth it
                    raise self._connection_error() from error
        if not file.matches(part, self._ctx.check_cancelled):
            part.unlink()
            raise BadInput(
                f"{file.path} of {self._name} was damaged during the download.",
                "Run it again: that file is downloaded again.",
            )
        part.rename(self._folder / file.path)

    def _resume(self, file: HubFile, part: Path, received: int) -> None:
        from huggingface_hub import get_token, hf_hub_url
        from huggingface_hub.utils import get_session, hf_raise_for_status

        url = hf_hub_url(self._name, file.path, revision=self._revision)
        token = get_token()
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={received}-"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True) as response:
            if response.status_code >= 400:
                response.read()
            hf_raise_for_status(response)
            starts_over = response.status_code != 206
            self._done -= received if starts_over else 0
            with part.open("wb" if starts_over else "ab", buffering=0) as stream:
                for block in response.iter_raw():
                    stream.write(block)
                    self._done += len(block)
                    self._report()

    def _report(self) -> None:
        self._ctx.check_cancelled()
        if (now := time.monotonic()) - self._reported >= _REPORT_INTERVAL or self._done == self._total:
            self._reported = now
            amount = f"{format_size(self._done)} of {format_size(self._total)}"
            self._ctx.emit(Progress(self._done, self._total, f"Downloading {self._name}: {amount}"))

    def _connection_error(self) -> BadInput:
        return BadInput(
            f"The connection was lost at {format_size(self._done)} of {format_size(self._total)} of {self._name}.",
            "Run it again: the download resumes.",
        )

    def _received(self, file: HubFile) -> int:
        for path in (self._folder / file.path, self._part(file)):
            if path.is_file():
                return path.stat().st_size
        return 0

    def _part(self, file: HubFile) -> Path:
        return self._folder / f"{file.path}.part"


def _request_files(name: str) -> tuple[str, dict[str, HubFile], str]:
    """Return (newest revision, its files, licence) of a repository."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(name, files_metadata=True, timeout=TIMEOUT)
    files = {}
    for entry in info.siblings or []:
        parts = PurePosixPath(entry.rfilename)
        if parts.is_absolute() or ".." in parts.parts or set(entry.rfilename) & set('\\:*?"<>|\0'):
            continue
        digest = entry.lfs.sha256 if entry.lfs else entry.blob_id
        if entry.size is not None and digest:
            files[entry.rfilename] = HubFile(entry.rfilename, int(entry.size), str(digest))
    card = info.card_data.to_dict() if info.card_data else {}
    licence = card.get("license_name") or card.get("license") or ""
    return str(info.sha), files, licence if isinstance(licence, str) else ""


def _read_index(file: Path, name: str) -> dict[str, Any]:
    try:
        value = json.loads(file.read_bytes())
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadInput(f"The {file.name} of {name} is damaged on the hub.", "Choose another model.")
    return value


@contextmanager
def _lock(name: str, work: Path) -> Iterator[None]:
    """Keep other processes from writing the same files."""
    from filelock import FileLock, Timeout

    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0):
            yield
    except Timeout as error:
        raise BadInput(
            f"{name} is being downloaded already.", "Wait until it is finished, and run it again."
        ) from error


@contextmanager
def _translate_errors(name: str) -> Iterator[None]:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import httpx

    token = "set the environment variable HF_TOKEN to your access token, or run `hf auth login`"
    try:
        yield
    except GatedRepoError as error:
        raise BadInput(
            f"{name} is a gated model: you have to accept its terms at huggingface.co/{name}.",
            f"Accept them, then {token}.",
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BadInput(
            f"There is no model {name} on the Hugging Face hub, or it is private.",
            f"Check the name. For a private model, {token}.",
        ) from error
    except HfHubHTTPError as error:
        raise BadInput(
            f"The Hugging Face hub refused {name}: it answered {error.response.status_code}.",
            "Run it again later: the download resumes.",
        ) from error
    except (httpx.HTTPError, ConnectionError) as error:
        raise BadInput(
            f"The model {name} is not on this computer, and the Hugging Face hub cannot be reached.",
            "Check the connection, or choose a folder.",
        ) from error
    except OSError as error:
        reason = "the disk is full" if is_disk_full(error) else error.strerror or str(error)
        raise BadInput(f"{name} cannot be saved: {reason}.", "Free some space and run it again.") from error
