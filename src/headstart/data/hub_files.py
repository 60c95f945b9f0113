"""Files of models and data sets of the Hugging Face hub, brought into its cache."""

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
    """Bring files into the hub's cache and return their folder there, named after their commit.

    Args:
        source: The id on the hub.
        patterns: Which files.
        repo_type: What the id is of.
        revision: A branch, tag or commit; the main branch if None.
        name: What errors call it.
        unknown: What is said where the hub does not know it.
        local_files_only: Take what the cache has and ask nobody.
        advance: Is told of the bytes that arrive.

    Raises:
        NetworkError: The hub has no such files for us.
        OSError: Neither the hub, if it was asked, nor its cache could be read.
    """
    import huggingface_hub  # a second to import, and seldom needed
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
        raise NetworkError(f"{name}: has no revision {revision!r} on the hub") from None
    except errors.GatedRepoError:
        raise NetworkError(
            f"{name}: its owner asks for consent; give it on the hub and log in with `hf auth "
            "login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise NetworkError(f"{name}: {unknown}") from None


def _silent_bar(advance: Advance | None) -> type:
    """Return a class of progress bars that draw nothing and pass on the bytes that arrive."""
    from tqdm import tqdm  # huggingface_hub brings it

    class Bar(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - theirs
            self.is_bytes = str(settings.get("desc", "")).startswith("Reconstructing")
            super().__init__(*args, **{**settings, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if advance and self.is_bytes and n:
                advance(n)
            return None

    return Bar
