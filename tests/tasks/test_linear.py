import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from headstart.tasks.linear import logistic_regression
from headstart.transfer.fitted import tfidf_vectorizer
from headstart.transfer.methods import TfIdf


def few_texts(seed: int):
    random = np.random.default_rng(seed)
    labels = np.arange(50) % 5
    words = [[f"w{min(word, 5000)}" for word in random.zipf(1.3, 150)] for _ in labels]
    told = [f"t{label}" * (random.random() < 0.5) for label in labels]
    texts = [" ".join([*each, word]) for each, word in zip(words, told, strict=True)]
    return tfidf_vectorizer().fit_transform(texts), labels


def penalized_loss(x, labels, weight, bias, strength):
    scores = x @ weight.T + bias
    losses = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(labels)), labels]
    return strength * losses.sum() + np.square(weight).sum() / 2


@pytest.mark.parametrize("strength", TfIdf().strengths)
@pytest.mark.parametrize("seed", range(3))
def test_logistic_regression_goes_on_to_the_minimum(strength, seed):
    x, labels = few_texts(seed)
    weights = np.ones(len(labels), np.float32)
    found = logistic_regression(x, labels, weights, strength)
    with threadpool_limits(1, user_api="blas"):
        least = LogisticRegression(C=strength, max_iter=10_000, tol=1e-9).fit(x, labels)
    least_loss = penalized_loss(x, labels, least.coef_, least.intercept_, strength)
    # At ten times the tolerance, the weakest regularization is 2 % and more above.
    assert penalized_loss(x, labels, *found, strength) < 1.01 * least_loss
