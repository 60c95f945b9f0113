import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.data.sentences import split_sentences, split_with_space


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rains.", "It pours!", "Does it?", "The end"],
        ["Dr. Who and Mrs. J. R. Smith met at 3 p.m. on Jan. 5.", "They left."],
        ["He lives in the U.S. Senate building, i.e. No. 10."],
        ["It costs $3.50, e.g. at 10.30.", "Cheap..."],
        ['"Really?" she asked.', '"Yes."', "(So it was.)", "“Good.”", "Done."],
        ["Wait... what?", "So do I.", "You too."],
        ["你好。", "我是人！", "他说：“好。”", "走了"],
        ["राम घर गया।", "वह सो गया ।", "क्या हुआ?", "ठीक है॥", "हाँ"],
        ["هل أنت بخير؟", "نعم.", "هذا صحيح؟!", "وہ گھر گیا۔", "جی"],
        ["ሰላም።", "ደህና፧", "Բարեւ։", "ខ្ញុំ។", "မင်္ဂလာ။", "བཀྲ་ཤིས།", "བཀྲ"],
        ["It has\u2028odd\u0085space.", "Once more."],
    ],
)
def test_sentences_end_where_a_reader_ends_them(sentences):
    separator = "" if "你" in sentences[0] else " "
    assert split_sentences(separator.join(sentences)) == sentences


def test_a_line_break_ends_a_sentence():
    assert split_sentences("A headline\n\nA text. Two\r\n") == ["A headline", "A text.", "Two"]


@pytest.mark.parametrize("text", ["", " \n\n\t"])
def test_no_text_has_no_sentences(text):
    assert split_sentences(text) == []


@given(text=st.text(st.sampled_from("aB1 .!?…\"'”()。\n"), max_size=80))
@settings(max_examples=200, deadline=None)
def test_no_character_but_space_is_lost(text):
    sentences = split_sentences(text)
    assert "".join("".join(sentences).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)
    spaced = split_with_space(text)
    assert [sentence.strip() for sentence in spaced] == sentences
    assert "".join(spaced) == (text if sentences else "")


def test_a_long_text_takes_linear_time():
    assert len(split_sentences("So it is. " * 20_000)) == 20_000
    assert len(split_sentences("." * 1_000_000)) == 1
