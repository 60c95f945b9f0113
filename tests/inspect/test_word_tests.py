"""Word tests: every published layout is read, and the scores equal scipy's and plain counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from headstart.errors import DataError
from headstart.inspect.word_tests import (
    AnalogyScore,
    SimilarityTest,
    evaluate_analogies,
    evaluate_similarity,
    read_analogies,
    read_similarity_test,
)
from headstart.models.word_vectors import WordSpace

LAYOUTS = {
    "wordsim.csv": "Word 1,Word 2,Human (mean)\nlove,sex,6.77\ntiger,Cat,7.35\n",
    "set1.csv": "Word 1,Word 2,Human (mean),1,2\nlove,sex,6.77,9,6\ntiger,Cat,7.35,9,7\n",
    "wordsim.tab": "Word 1\tWord 2\tHuman (mean)\nlove\tsex\t6.77\ntiger\tCat\t7.35\n",
    "simlex.txt": (
        "word1\tword2\tPOS\tSimLex999\tconc(w1)\nlove\tsex\tN\t6.77\t2\ntiger\tCat\tN\t7.35\t3\n"
    ),
    "simverb.txt": "love\tsex\tV\t6.77\tNONE\ntiger\tCat\tV\t7.35\tSYNONYMS\n",
    "plain.txt": "love sex 6.77\r\n\r\ntiger   Cat  7.35\r\n",
    "commented.tsv": "# about\n# Word 1\tWord 2\nlove\tsex\t6.77\ntiger\tCat\t7.35",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_ratings_are_found_in_every_published_layout(name, tmp_path):
    (tmp_path / name).write_text(LAYOUTS[name], newline="")
    test = read_similarity_test(tmp_path / name)
    assert test.pairs == [("love", "sex"), ("tiger", "Cat")]
    assert test.ratings == [6.77, 7.35]
    assert test.name == name.rpartition(".")[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a b 1\nc d\n", r"line 2: .* a rating in column 3, found 'c d'"),
        ("a b 1\nc d high\n", "line 2: "),
        ("a\tb\tN\t1\nc\td\t2\n", "line 2: .* in column 4"),
        ("a b nan\n", "line 1: "),
        ("\tb\t1\n", "line 1: "),
        ("just words\n", "line 1: "),
        ("", "no word pairs found"),
        ("# only\nword1 word2 score\n", "no word pairs found"),
    ],
)
def test_a_bad_similarity_file_is_refused_with_its_line(content, reason, tmp_path):
    path = tmp_path / "test.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"^{path}.*{reason}"):
        read_similarity_test(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("a b c d\n", r"line 1: expected ': section' first"),
        (": s\na b c\n", "line 2: expected four words"),
        (": s\na b c d\n\na b c d e\n", "line 4: expected four words"),
        ("\n", "no analogy questions found"),
    ],
)
def test_a_bad_analogy_file_is_refused_with_its_line(content, reason, tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"^{path}.*{reason}"):
        read_analogies(path)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 30))
def test_the_rank_correlation_is_scipys_over_the_covered_pairs(seed, size):
    generator = np.random.default_rng(seed)
    words = [f"w{row}" for row in range(10)]
    space = WordSpace(words, generator.normal(size=(10, 4)).astype(np.float32))
    pairs = [(f"w{a}", f"w{b}") for a, b in generator.integers(0, 12, (size, 2))]
    ratings = generator.integers(0, 5, size).astype(float).tolist()
    score = evaluate_similarity(space, SimilarityTest("t", pairs, ratings))
    kept = [row for row, pair in enumerate(pairs) if all(word in space for word in pair)]
    assert (score.covered, score.total) == (len(kept), size)
    assert set(score.missing) == {w for pair in pairs for w in pair} - set(words)
    cosines = space.similarity([pairs[row] for row in kept])
    rated = [ratings[row] for row in kept]
    if len(kept) < 2 or len(set(rated)) == 1 or len(set(cosines.tolist())) == 1:
        assert score.spearman is None
    else:
        assert score.spearman == pytest.approx(spearmanr(cosines, rated).statistic, abs=1e-9)


def test_words_are_looked_up_in_lower_case_when_asked():
    space = WordSpace(["a", "b", "c"], np.float32([[1, 0], [1, 1], [0, 1]]))
    test = SimilarityTest("t", [("A", "B"), ("A", "c"), ("b", "zz")], [3.0, 1.0, 2.0])
    assert evaluate_similarity(space, test).spearman is None
    score = evaluate_similarity(space, test, lowercase=True)
    assert (score.spearman, score.covered, score.missing) == (pytest.approx(1.0), 2, ("zz",))


def test_analogies_are_counted_by_section_with_their_coverage():
    words = ["man", "woman", "king", "queen", "Athens"]
    matrix = np.float32([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [-1, 0, 0]])
    sections = {
        "royal": [
            ("man", "woman", "king", "queen"),
            ("king", "queen", "man", "woman"),
            ("man", "king", "woman", "athens"),
            ("man", "woman", "king", "prince"),
        ],
        "unknown": [("a", "b", "c", "d")],
    }
    scores = evaluate_analogies(WordSpace([w.lower() for w in words], matrix), sections)
    assert scores == [AnalogyScore("royal", 2, 3, 4), AnalogyScore("unknown", 0, 0, 1)]
    assert scores[0].accuracy == pytest.approx(2 / 3)
    assert scores[1].accuracy is None
    upper = {"royal": [tuple(word.upper() for word in row) for row in sections["royal"]]}
    space = WordSpace([w.lower() for w in words], matrix)
    assert evaluate_analogies(space, upper)[0].covered == 0
    assert evaluate_analogies(space, upper, lowercase=True)[0] == scores[0]


def test_all_staged_tests_are_read_whole(shared_data):
    counts = {
        "EN-MC-30": 30,
        "EN-MEN-TR-3k": 3000,
        "EN-MTurk-287": 287,
        "EN-MTurk-771": 771,
        "EN-RG-65": 65,
        "EN-RW-STANFORD": 2034,
        "EN-SIMLEX-999": 999,
        "EN-SimVerb-3500": 3500,
        "EN-VERB-143": 144,
        "EN-WS-353-ALL": 353,
        "EN-WS-353-REL": 252,
        "EN-WS-353-SIM": 203,
        "EN-YP-130": 130,
    }
    folder = shared_data / "wordsim"
    found = {f.stem: len(read_similarity_test(f).pairs) for f in folder.glob("EN-*.txt")}
    assert found == counts
    fixtures = shared_data / "fixtures/gensim_vectors"
    assert len(read_similarity_test(fixtures / "wordsim353.tsv").pairs) == 353
    assert len(read_similarity_test(fixtures / "simlex999.txt").pairs) == 999
    sections = read_analogies(folder / "questions-words.txt")
    assert (len(sections), sum(map(len, sections.values()))) == (14, 19544)
