"""The encoders of a comparison: pretrained on its corpus, once and for all, or loaded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart import __version__
from headstart.compare.contestants import Contestant
from headstart.data.corpora import Corpus
from headstart.hub.bundle import Pretrained
from headstart.hub.store import load_encoder, pretrain
from headstart.progress import Progress
from headstart.storage import cache_folder, fingerprint, folder_lock

PRETRAIN_EPOCHS = {"word2vec": 30, "glove": 50}
MIN_COUNT = 3  # corpora of a task are small


def make_encoders(
    contestants: Sequence[Contestant], corpus: Corpus, minutes: float, progress: Progress
) -> tuple[dict[str, Path], dict[str, Pretrained]]:
    """Return each encoder and the folder it is kept in; pretraining is done once, ever."""
    folders: dict[str, Path] = {}
    encoders: dict[str, Pretrained] = {}
    for one in contestants:
        name = one.encoder
        if not name or name in encoders:
            continue
        if one.source:
            encoder = load_encoder(one.source, progress=progress)
            folder = Path(one.source)
            if not folder.is_dir():  # a folder is faster to read, for every process of the cells
                folder = _kept(f"{encoder.kind}-{encoder.fingerprint}")
                with _made_once(folder) as missing:
                    if missing:
                        encoder.save(folder)
        else:
            limits: dict[str, Any] = {
                "epochs": PRETRAIN_EPOCHS[name],
                "minutes": minutes,
                "min_count": MIN_COUNT,
            }
            folder = _kept(f"{name}-{fingerprint(corpus.fingerprint(), limits, __version__)}")
            with progress.stage(f"{name} on the corpus"), _made_once(folder) as missing:
                if missing:
                    pretrain(name, corpus, **limits, progress=progress).save(folder)
            encoder = load_encoder(folder)
        folders[name], encoders[name] = folder, encoder
    return folders, encoders


def _kept(name: str) -> Path:
    return cache_folder() / "encoders" / name


@contextmanager
def _made_once(folder: Path) -> Iterator[bool]:
    """Say whether the folder has to be made; who else wants it meanwhile waits."""
    if folder.exists():
        yield False
        return
    with folder_lock(cache_folder() / "locks" / folder.name, wait=True):
        yield not folder.exists()
