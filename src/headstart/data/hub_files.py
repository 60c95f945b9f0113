"""Download files of models and datasets from the Hugging Face Hub to its cache."""

from pathlib import Path
from typing import Any, Literal

from headstart.errors import NetworkError
from headstart.progress import Advance


def snapshot(
    source: str,
    patterns: list[str],
    *,
    repo_type: Literal["model", "dataset"],
    revision: str | None,
    name: str,
    unknown: str,
    local_files_only: bool = False,
    advance: Advance | None = None,
) -> Path:
    """Download files to the Hub's cache and return their folder there, which is named by commit.

    Args:
        source: The id on the Hub.
        patterns: Which files.
        repo_type: Whether the id is that of a model or a dataset.
        revision: A branch, tag or commit; None is the main branch.
        name: The name to use in errors.
        unknown: The error text if the Hub does not know the id.
        local_files_only: Use only the cache, without any request.
        advance: Called with the number of bytes that arrive.

    Raises:
        NetworkError: The Hub does not have the files, or denies access.
        OSError: Neither the Hub (if it may be asked) nor its cache could be read.
    """
    import huggingface_hub  # takes a second to import, and is rarely needed
    from huggingface_hub import errors

    try:
        return Path(
            huggingface_hub.snapshot_download(
                source,
                repo_type=repo_type,
                revision=revision,
                allow_patterns=patterns,
                local_files_only=local_files_only,
                tqdm_class=_silent_bar(advance),
            )
        )
    except errors.RevisionNotFoundError:
        raise NetworkError(f"{name}: the Hub has no revision {revision!r}") from None
    except errors.GatedRepoError:
        raise NetworkError(
            f"{name}: access is restricted; request it on the Hub and log in with `hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise NetworkError(f"{name}: {unknown}") from None


def _silent_bar(advance: Advance | None) -> type:
    """Return a class of progress bars that draw nothing and report the bytes that arrive."""
    from tqdm import tqdm  # a dependency of huggingface_hub

    class Bar(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - theirs
            self.is_bytes = str(settings.get("desc", "")).startswith("Reconstructing")
            super().__init__(*args, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if advance and self.is_bytes and n:
                advance(n)
            return None

    return Bar
