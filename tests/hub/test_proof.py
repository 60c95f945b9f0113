import dataclasses

import pytest
import torch

from headstart.errors import DataError, TransferError
from headstart.hub.proof import Proof, distance, hash_tensors

PROOF = Proof(
    encoder="glove 8d 1f3a",
    tensors_taken=1,
    tensors=1,
    words_covered=1500,
    words=2000,
    tokens_covered=0.95,
    unknown=("frobnicate", "xyzzy"),
    distance=0.25,
)


def test_a_sound_proof_passes():
    PROOF.check()
    dataclasses.replace(PROOF, frozen_before="ab", frozen_after="ab").check()
    dataclasses.replace(PROOF, frozen_before="ab").check()  # before training


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tensors_taken": 0}, TransferError, "no tensor of glove 8d 1f3a was copied"),
        ({"words_covered": 0}, DataError, "glove 8d 1f3a knows none of the 2000 words"),
        ({"frozen_before": "ab", "frozen_after": "cd"}, TransferError, "frozen glove 8d 1f3a chan"),
        ({"frozen_before": "", "frozen_after": "cd"}, TransferError, "frozen glove 8d 1f3a chan"),
    ],
)
def test_a_proof_of_nothing_is_an_error(change, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(PROOF, **change).check()


def test_a_proof_is_printed_for_people():
    text = str(PROOF)
    assert "1,500 of 2,000 words (75.0%), 95.0% of tokens" in text
    assert "unknown        frobnicate, xyzzy" in text
    assert "moved by       25.0% of the pretrained weights' norm" in text
    frozen = str(dataclasses.replace(PROOF, unknown=(), frozen_before="ab", frozen_after="ab"))
    assert "frozen part    ab, unchanged by training" in frozen
    assert "unknown" not in frozen


def test_a_proof_is_stored_as_plain_values():
    values = PROOF.as_dict()
    assert values["unknown"] == ["frobnicate", "xyzzy"]
    assert Proof(**{**values, "unknown": tuple(values["unknown"])}) == PROOF


def test_the_hash_depends_on_every_bit():
    tensor = torch.arange(6, dtype=torch.float32)
    expected = hash_tensors([tensor])
    assert len(expected) == 16
    assert hash_tensors([tensor.clone()]) == expected
    nudged = tensor.clone()
    nudged[3] = torch.nextafter(nudged[3], torch.tensor(9.0))
    negative_zero = tensor.clone()
    negative_zero[0] = -0.0
    others = [nudged, negative_zero, tensor.reshape(2, 3), tensor.int(), tensor.flip(0)]
    hashes = {hash_tensors([other]) for other in others}
    assert len(hashes | {expected}) == 6
    assert hash_tensors([tensor, tensor]) != expected
    assert hash_tensors([torch.ones(4, 4).T[1:]]) == hash_tensors([torch.ones(3, 4)])


def test_distance_is_relative_to_the_start():
    before = [torch.tensor([3.0, 0.0]), torch.tensor([4.0])]
    after = [torch.tensor([3.0, 1.0]), torch.tensor([4.0])]
    assert distance(before, after) == pytest.approx(0.2)
    assert distance(before, before) == 0.0
    assert distance([torch.zeros(2)], [torch.ones(2)]) == 0.0
