"""The kinds of encoders: the class for each name that is stored on disk.

A class writes its folders (`save`). It also reads them (`from_folder`), except for folders that
`transformers` can load too, which `hub.published` reads.
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
EPOCHS = {"word2vec": 5, "glove": 25}  # the default number of epochs
RUNS = ("cove", "elmo", "gpt", "bert")  # pretrained in steps, with checkpoints and a log
PRETRAINABLE = (*EPOCHS, *RUNS)

_Settings = ParamSpec("_Settings")


class ByMethod(Protocol[_Settings]):
    """The type of `pretrain` for type checkers: the method's name determines the class returned."""

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
    """Return the function unchanged, typed so that each method has its own return type."""
    return cast(ByMethod[_Settings], pretrain)
