"""What a comparison tells besides its scores."""

from headstart.compare.account import corpus_facts, degenerate, proofs, truncated
from headstart.data.corpora import read_corpus


def row(method, labels, runs):
    return {"method": method, "labels": labels, "degenerate": runs}


def test_runs_that_learned_nothing_are_a_sentence_a_method():
    summary = [row("majority", 10, 5), row("bert:probe", 10, 3), row("bert:probe", 25, 1)]
    assert degenerate([*summary, row("tfidf", 10, 0)]) == [
        "bert:probe learned nothing in 3 runs with 10 labels, 1 run with 25 labels."
    ]


def cell(method, labels, seed, **own):
    return {"method": method, "labels": labels, "seed": seed, "truncated": 0, "proof": None, **own}


def test_texts_that_were_cut_are_said_with_the_methods_that_cut_them():
    cells = [
        cell("tfidf", 100, 0),
        cell("bert:finetune", 100, 0, truncated=40),
        cell("gpt:finetune", 100, 0, truncated=12),
    ]
    (sentence,) = truncated(cells)
    assert "one run of bert:finetune truncated 40 of 100 training texts" in sentence
    assert sentence.endswith("Affected methods: bert:finetune, gpt:finetune.")
    assert truncated(cells[:1]) == []


def test_a_method_that_stopped_early_has_its_proof_too():
    cells = [
        cell("bert:finetune", 10, 0, proof="of 10"),
        cell("bert:finetune", 10, 1, proof="of 10, seed 1"),
        cell("glove:probe", 10, 0, proof="of 10"),
        cell("glove:probe", 100, 0, proof="of 100"),
        cell("bert:scratch", 10, 0),
    ]
    assert proofs(cells) == {"bert:finetune": "of 10", "glove:probe": "of 100"}


def test_a_corpus_of_which_nothing_was_made_is_not_told():
    assert corpus_facts(read_corpus(texts=["a"]), [], {}) == {"source": "1 texts in memory"}
    assert corpus_facts(None, [], {}) == {}
