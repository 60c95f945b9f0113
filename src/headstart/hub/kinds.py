"""The table of kinds: every encoder headstart has a class for, by the name it has on disk.

The class knows how its folder is read (`from_folder`) and written (`save`).
"""

from collections.abc import Callable
from typing import Concatenate, Literal, ParamSpec, Protocol, cast, overload

from headstart.hub.bundle import Pretrained, PretrainedWordVectors
from headstart.hub.cove import PretrainedCove
from headstart.hub.elmo import PretrainedElmo
from headstart.hub.language_models import PretrainedBert, PretrainedGpt
from headstart.hub.wrapped_models import PretrainedTransformer

KINDS: dict[str, type[Pretrained]] = {
    "word2vec": PretrainedWordVectors,
    "glove": PretrainedWordVectors,
    "vectors": PretrainedWordVectors,
    "elmo": PretrainedElmo,
    "cove": PretrainedCove,
    "gpt": PretrainedGpt,
    "bert": PretrainedBert,
    "hf": PretrainedTransformer,
}
EPOCHS = {"word2vec": 5, "glove": 25}  # pretrained in so many passes, unless others are asked for
RUNS = ("cove", "elmo", "gpt", "bert")  # pretrained in steps, with checkpoints and a log
PRETRAINABLE = (*EPOCHS, *RUNS)

_Settings = ParamSpec("_Settings")


class ByMethod(Protocol[_Settings]):
    """What pretrains, as type checkers know it: the method's name tells the encoder's class."""

    @overload
    def __call__(
        self,
        method: Literal["word2vec", "glove"],
        *args: _Settings.args,
        **settings: _Settings.kwargs,
    ) -> PretrainedWordVectors: ...
    @overload
    def __call__(
        self, method: Literal["cove"], *args: _Settings.args, **settings: _Settings.kwargs
    ) -> PretrainedCove: ...
    @overload
    def __call__(
        self, method: Literal["elmo"], *args: _Settings.args, **settings: _Settings.kwargs
    ) -> PretrainedElmo: ...
    @overload
    def __call__(
        self, method: Literal["gpt"], *args: _Settings.args, **settings: _Settings.kwargs
    ) -> PretrainedGpt: ...
    @overload
    def __call__(
        self, method: Literal["bert"], *args: _Settings.args, **settings: _Settings.kwargs
    ) -> PretrainedBert: ...
    @overload
    def __call__(
        self, method: str, *args: _Settings.args, **settings: _Settings.kwargs
    ) -> Pretrained: ...


def by_method(
    pretrain: Callable[Concatenate[str, _Settings], Pretrained],
) -> ByMethod[_Settings]:
    """Return the same function, of which type checkers know what it returns for each method."""
    return cast(ByMethod[_Settings], pretrain)
