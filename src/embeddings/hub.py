"""Models of the Hugging Face hub, in its cache on this machine; the only module that goes to the network.

The hub's own library does the work, so its cache, its mirrors (``HF_ENDPOINT``), proxies and ``HF_HUB_OFFLINE`` hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from embeddings.errors import ModelUnavailable
from embeddings.specs import ModelSpec

if TYPE_CHECKING:
    from huggingface_hub.utils.tqdm import tqdm

OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with bytes fetched and bytes in all, from any thread; the second grows while files are being found."""

# Never a pickle, never code.
_FILES = ("*.json", "merges.txt", "vocab.txt", "model*.safetensors")
_REACHABLE_SECONDS = 5.0


def cached_snapshot(spec: ModelSpec, cache_dir: Path | None) -> Path | None:
    """The directory of the pinned revision in the hub's cache, perhaps incomplete; ``None`` where there is none.

    No network. A model without a pinned revision is looked up under what the cache has as its main branch.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (most commands need no hub)
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415  (the same)

    try:
        found = snapshot_download(
            spec.location,
            revision=spec.revision,
            cache_dir=cache_dir,
            local_files_only=True,
            allow_patterns=list(_FILES),
        )
    except LocalEntryNotFoundError:
        return None
    return Path(found)


def download(spec: ModelSpec, cache_dir: Path | None, on_progress: OnProgress | None) -> Path:
    """Fetches the pinned revision into the hub's cache and returns its directory there.

    What is already there is not fetched again. Raises ``ModelUnavailable`` where no safe revision is known or the hub
    cannot be reached within seconds.
    """
    if spec.revision is None:
        raise ModelUnavailable(
            f"no revision of {spec.location!r} with its weights as safetensors is known; convert its weights and "
            "give the path of that directory as the model",
        )
    from huggingface_hub import snapshot_download  # noqa: PLC0415  (as above)

    with _translated(spec):
        _ask_whether_there(spec)
        found = snapshot_download(
            spec.location,
            revision=spec.revision,
            cache_dir=cache_dir,
            allow_patterns=list(_FILES),
            tqdm_class=_progress_bar(on_progress),
        )
    return Path(found)


def _ask_whether_there(spec: ModelSpec) -> None:
    """One quick request: the library itself tries for 23 seconds and more before it gives a dead network up."""
    from huggingface_hub import constants, get_session  # noqa: PLC0415  (as above)

    get_session().head(f"{constants.ENDPOINT}/{spec.location}", timeout=_REACHABLE_SECONDS)


@contextmanager
def _translated(spec: ModelSpec) -> Iterator[None]:
    from httpx2 import HTTPError  # noqa: PLC0415  (as above)
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled  # noqa: PLC0415

    try:
        yield
    except (HfHubHTTPError, HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ModelUnavailable(
            f"{spec.name!r} cannot be fetched from the hub ({reason}); connect to the network or unset HF_HUB_OFFLINE "
            f"and run `codetrove model fetch {spec.name}`, or copy the model here and give the path of its directory",
        ) from error


def _progress_bar(on_progress: OnProgress | None) -> type[tqdm]:
    """A progress bar that shows nothing and reports the bytes of all files."""
    from huggingface_hub.utils.tqdm import tqdm  # noqa: PLC0415  (as above)

    class Reported(tqdm):
        """The hub keeps one bar for bytes received and one for bytes written: the one ahead is reported."""

        most = 0

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts_bytes = kwargs.get("unit") == "B"
            self._done = 0
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            self._done += int(n or 0)
            if on_progress is not None and self._counts_bytes and self._done > Reported.most:
                Reported.most = self._done
                on_progress(self._done, max(int(self.total or 0), self._done))

    return Reported
