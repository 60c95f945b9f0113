"""The table of kinds: every encoder headstart has a class for, by the name it has on disk."""

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
PRETRAINABLE = ("word2vec", "glove", "cove", "elmo", "gpt", "bert")
RUNS = ("cove", "elmo", "gpt", "bert")  # pretrained in steps, with checkpoints and a log
