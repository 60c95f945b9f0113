"""What is said of tagged sentences before a tagger is trained: illegal, mixed, unknown tags."""

from headstart.data.corpora import read_corpus
from headstart.data.tagged import TaggedSentences, read_tagged
from headstart.tasks.tag_checks import check_tags, find_unknown_tags, tag_scheme

SENTENCES = [["Mary", "Ann", "left"], ["so", "what"], ["Bob", "left"]]
TAGS = [["B-P", "I-P", "O"], ["O", "O"], ["B-P", "O"]]


def tagged(tags, source="train.conll"):
    sentences = [[f"word{row}{at}" for at in range(len(its))] for row, its in enumerate(tags)]
    return TaggedSentences(sentences, tags, source)


def test_illegal_tags_are_counted_and_named_with_their_lines(tmp_path):
    path = tmp_path / "train.conll"
    path.write_text("Mary B-P\nAnn I-P\n\nso O\nBob I-P\nleft O\n\nAnn B-P\nLee I-L\n")
    found = tag_scheme(read_tagged(path))
    assert (found.scheme, found.num_illegal, found.num_sentences) == ("IOB2", 2, 2)
    assert found.other_schemes == {"IOB1": 1}
    assert str(found) == (
        f"{path}: scheme IOB2, illegal tags: 2, in 2 sentences, of which 1 are "
        f"legal in IOB1 (for instance 'I-P' at {path} line 5)"
    )
    legal = tag_scheme(tagged(TAGS))
    assert str(legal) == "train.conll: scheme IOB2, illegal tags: 0"


def test_schemes_that_are_mixed_are_told():
    mixed = [["B-P", "E-P", "O"], ["S-P", "O"], ["B-P", "I-P", "O"], ["B-P", "O"]]
    found = tag_scheme(tagged(mixed))
    assert (found.scheme, found.num_sentences) == ("BIOES", 2)
    assert found.other_schemes == {"IOB2": 2}


def test_tags_that_only_the_test_part_has():
    train, test = tagged(TAGS), tagged([["B-L", "O"], ["O", "I-L", "B-P"]], "test.conll")
    found = find_unknown_tags(train, test, "IOB2")
    assert (found.num_words, found.share, found.tags) == (2, 2 / 5, {"B-L": 1, "I-L": 1})
    assert "'B-L' at test.conll line 1, word 1" in str(found)
    written_otherwise = tagged([["S-P", "O"], ["B-P", "E-P"]], "test.conll")
    assert find_unknown_tags(train, written_otherwise, "IOB2").num_words == 0
    alone = tagged([["I-P", "I-P", "O"], ["I-L", "O"]])  # of IOB1, where B needs a neighbor
    beside = tagged([["I-P", "B-P", "O"], ["I-L", "I-L"]], "test.conll")
    assert find_unknown_tags(alone, beside, "IOB1").tags == {"I-L": 1}  # inside an L
    plain = find_unknown_tags(tagged([["DET", "NOUN"]]), tagged([["DET", "VERB"]]), "plain")
    assert plain.tags == {"VERB": 1}


def test_what_is_checked_depends_on_what_is_given():
    again = TaggedSentences([*SENTENCES, ["Bob", "left"]], [*TAGS, ["O", "O"]], "train.conll")
    alone = check_tags(again)
    assert list(alone) == ["balance", "lengths", "scheme", "duplicates", "conflicts"]
    assert str(alone["balance"]) == (
        "3 tags: 'O' is the most frequent with 66.7% of the words, 'I-P' the rarest with 1 word"
    )
    assert (alone["duplicates"].num_rows, alone["conflicts"].num_texts) == (1, 1)
    assert "'Bob left' on lines 3, 4" in str(alone["conflicts"])
    run = "a run of nine words that a corpus holds somewhere"
    test = TaggedSentences([["Bob", "left"], run.split()], [["B-P", "O"], ["O"] * 10], "t.conll")
    corpus = read_corpus(texts=[f"It is {run}, too."])
    found = check_tags(again, test, corpus)
    assert list(found) == [
        *("balance", "lengths", "scheme", "test_scheme", "unknown_tags"),
        *("duplicates", "conflicts", "leaks", "near_leaks", "corpus_overlap", "clean"),
    ]
    assert found["leaks"].test_indices == (0,)
    assert found["corpus_overlap"].indices == (1,)
    assert found["clean"].num_rows == 0
