"""`python -m bot fetch`: download what the catalogue names and this machine lacks.

Only the files that the loader reads. Whole files that are there are never asked for again, a file
that is damaged is, and a connection that drops is taken up where it broke.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from huggingface_hub import (
    HfApi,
    constants,
    get_token,
    hf_hub_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bot.errors import TooLittleDisk
from pipelines.catalog import Catalog, Checkpoint, LoraFile
from pipelines.checkpoints import damaged_files, needed_files, read_first, require_whole
from pipelines.contract.errors import AtelierError, ModelMissing
from pipelines.layout import first_file, gated, unusable
from pipelines.plan import GIB
from pipelines.visible import nearest

SPARE = GIB  # left free on the disk, for the results


@dataclass(frozen=True, slots=True)
class Download:
    """What is missing of one checkpoint: file names and their sizes in bytes, small files first.

    In this order a checkpoint whose weights are complete is complete.
    """

    place: str
    checkpoint: Checkpoint
    commit: str
    files: dict[str, int]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.files.values())


def fetch(
    catalog: Catalog, models_folder: Path | None, console: Console, endpoint: str | None = None
) -> list[AtelierError]:
    """Download every checkpoint of the catalogue. Returns what could not be had, and why.

    `models_folder` is a Hugging Face cache, without it the user's own; `endpoint` another Hub.
    Raises TooLittleDisk before anything large is downloaded.
    """
    hub = Hub(models_folder, endpoint)
    downloads, errors = [], []
    for place, checkpoint in catalog.checkpoints():
        try:
            _discard_damaged(place, checkpoint, models_folder, console)
            if is_here(place, checkpoint, models_folder):
                console.print(f"✓ {place}: {checkpoint.source}", markup=False, soft_wrap=True)
            else:
                downloads.append(hub.plan(place, checkpoint))
        except AtelierError as error:
            errors.append(error)
    check_disk(sum(download.size for download in downloads), hub.folder)
    with _progress(console) as progress:
        for download in downloads:
            try:
                _show(hub, download, progress)
            except AtelierError as error:
                errors.append(error)
    return errors


def is_here(place: str, checkpoint: Checkpoint, models_folder: Path | None) -> bool:
    """Whether a checkpoint is on this machine. Raises where it is there and cannot serve."""
    try:
        require_whole(place, checkpoint, models_folder)
    except ModelMissing:
        if checkpoint.is_folder:
            raise
        return False
    return True


def _discard_damaged(
    place: str, checkpoint: Checkpoint, models_folder: Path | None, console: Console
) -> None:
    """Delete what is damaged of a repository, so that it is missing. Folders are their owner's."""
    if checkpoint.is_folder:
        return
    with suppress(ModelMissing), _explained(place, checkpoint):
        for file in damaged_files(place, checkpoint, models_folder):
            for each in {file.resolve(), file}:  # the Hub's cache is of links to what it holds
                each.unlink(missing_ok=True)
            console.print(f"! {place}: {file.name} was damaged", markup=False, soft_wrap=True)


def check_disk(size: int, folder: Path) -> None:
    """Raise TooLittleDisk unless the disk of `folder` can take `size` bytes more."""
    free = free_bytes(folder)
    if size and size + SPARE > free:
        raise TooLittleDisk(
            f"{size / GIB:.1f} GiB of models are to be downloaded to {folder}, where "
            f"{free / GIB:.1f} GiB are free. Free {(size + SPARE - free) / GIB:.1f} GiB there, or "
            "set gpu.models_folder to a folder on a larger disk."
        )


def free_bytes(folder: Path) -> int:
    """Bytes free on the disk that holds `folder`, which need not exist yet; 0 without a disk."""
    try:
        return shutil.disk_usage(nearest(folder)).free
    except OSError:
        return 0


class Hub:
    """The Hugging Face Hub, and the folder that keeps what comes from it."""

    def __init__(self, models_folder: Path | None, endpoint: str | None = None) -> None:
        self.folder = models_folder or Path(constants.HF_HUB_CACHE)
        self._endpoint = endpoint
        self._api = HfApi(endpoint=endpoint)

    def plan(self, place: str, checkpoint: Checkpoint) -> Download:
        """What is missing of a checkpoint. Downloads no weights. Raises ModelUnavailable.

        Raises ModelGated without asking where nobody is logged in: the Hub tells a stranger how
        large a gated model is and refuses its files, and offline it tells nothing.
        """
        if checkpoint.gated and get_token() is None:
            raise gated(place, checkpoint)
        with _explained(place, checkpoint):
            info = self._api.model_info(
                checkpoint.source, revision=checkpoint.revision, files_metadata=True
            )
            sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
            first = self._read_first(place, checkpoint)
            names = needed_files(place, checkpoint, sizes, first)
        missing = [name for name in names if not self._has(checkpoint, name, info.sha)]
        if isinstance(checkpoint, LoraFile):  # its only file notes the commit when it comes
            commit = checkpoint.revision or constants.DEFAULT_REVISION
        else:
            commit = str(info.sha)
        files = {name: sizes[name] for name in sorted(missing, key=lambda name: sizes[name])}
        return Download(place, checkpoint, commit, files)

    def download(self, download: Download, advance: Callable[[int], None]) -> None:
        """Get what is missing; `advance` is told of bytes as they come. Raises ModelUnavailable."""

        class Bar(_Bar):
            report = staticmethod(advance)

        with _explained(download.place, download.checkpoint):
            for name in download.files:
                self._get(download.checkpoint, name, download.commit, Bar)

    def _read_first(self, place: str, checkpoint: Checkpoint) -> dict[str, Any]:
        """What a repository's first file says. Getting it also notes the revision's commit."""
        if isinstance(checkpoint, LoraFile):
            return {}
        file = self._get(checkpoint, first_file(checkpoint), checkpoint.revision, _Bar)
        return read_first(place, checkpoint, Path(file).parent)

    def _get(
        self, checkpoint: Checkpoint, name: str, revision: str | None, bar: type["_Bar"]
    ) -> str:
        file: str = hf_hub_download(
            checkpoint.source,
            name,
            revision=revision,
            cache_dir=self.folder,
            endpoint=self._endpoint,
            tqdm_class=bar,
        )
        return file

    def _has(self, checkpoint: Checkpoint, name: str, commit: str | None) -> bool:
        found = try_to_load_from_cache(
            checkpoint.source, name, cache_dir=self.folder, revision=commit
        )
        return isinstance(found, str)


class _Bar:
    """What huggingface_hub asks of a progress bar. Tells `report` of bytes written to disk."""

    report: Callable[[int], None] = staticmethod(lambda _: None)

    def __init__(self, *_: object, initial: int = 0, **__: object) -> None:
        self.update(initial)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: float | None = 1) -> None:
        self.report(int(n or 0))

    def update_transfer(self, n: float | None = 1) -> None:
        """Bytes from the network, which are counted again when they are written."""

    def set_postfix_str(self, *_: object, **__: object) -> None: ...

    def set_transfer_postfix_str(self, *_: object, **__: object) -> None: ...

    def close(self) -> None: ...


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _show(hub: Hub, download: Download, progress: Progress) -> None:
    """Download with a bar; what goes wrong is said once, at the end, by the caller."""
    checkpoint = download.checkpoint
    task = progress.add_task(f"  {download.place}: {checkpoint.source}", total=download.size)
    hub.download(download, lambda n: progress.advance(task, n))
    progress.update(
        task, description=f"✓ {download.place}: {checkpoint.source}", completed=download.size
    )


@contextmanager
def _explained(place: str, checkpoint: Checkpoint) -> Iterator[None]:
    """Turn what the Hub and the network raise into ModelUnavailable, with what to do about it."""
    try:
        yield
    except GatedRepoError as error:
        raise gated(place, checkpoint) from error
    except RevisionNotFoundError as error:
        raise unusable(
            place,
            checkpoint,
            f"has no revision {checkpoint.revision!r}. Correct models.{place}.revision.",
        ) from error
    except RepositoryNotFoundError as error:
        raise unusable(
            place,
            checkpoint,
            "is not on the Hub, or is private. Correct models."
            f"{place}.source, or set HF_TOKEN to a token that may read it.",
        ) from error
    except LocalEntryNotFoundError as error:  # an EntryNotFoundError, but of any other cause
        raise unusable(place, checkpoint, _why(error.__cause__ or error)) from error
    except EntryNotFoundError as error:
        raise unusable(
            place,
            checkpoint,
            f"lacks {first_file(checkpoint)}: it is not in the format of diffusers or "
            f"transformers. Correct models.{place}.source.",
        ) from error
    except (HTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise unusable(place, checkpoint, _why(error)) from error


def _why(error: BaseException) -> str:
    """What is to be done about an error that is not about one checkpoint in particular."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "is refused: the Hub does not know your token. Correct HF_TOKEN or `hf auth login`."
    if status == 403:
        return (
            "is refused: your token may not read it. Give it, at https://huggingface.co/settings/"
            "tokens, access to public gated repositories, or log in with a token of type Read."
        )
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, HTTPError):
        return f"cannot be stored: {error.strerror}. Mend that and run `python -m bot fetch` again."
    what = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return (
        f"is not here, and the Hub gives no useful answer: {what.rstrip('.')}. Check the network "
        "and run `python -m bot fetch` again; what is complete is kept."
    )
