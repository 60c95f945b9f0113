"""The table of kinds: every encoder headstart has a class for, by the name it has on disk."""

from headstart.hub.bundle import Pretrained, PretrainedWordVectors

KINDS: dict[str, type[Pretrained]] = {
    "word2vec": PretrainedWordVectors,
    "glove": PretrainedWordVectors,
    "vectors": PretrainedWordVectors,
}
PRETRAINABLE = ("word2vec", "glove")
