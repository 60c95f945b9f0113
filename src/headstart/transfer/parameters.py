"""The scikit-learn estimator interface, without scikit-learn's base classes.

The base classes import all of `scipy.stats`, which takes longer than everything else that a saved
model needs for prediction, except torch. Estimators use these functions as methods instead;
scikit-learn recognizes them by duck typing, as its developer guide allows.
"""

import inspect
from typing import Any, TypeVar

from headstart.errors import SettingsError
from headstart.settings import suggestion

_Self = TypeVar("_Self")


def get_params(self: object, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - theirs
    """Return the settings by name; `deep` has no effect, because no setting is an estimator."""
    del deep
    return {name: getattr(self, name) for name in _defaults(self)}


def set_params(self: _Self, **settings: Any) -> _Self:  # noqa: ANN401 - any setting
    """Change settings by name, and return the estimator.

    Raises:
        SettingsError: There is no such setting.
    """
    known = _defaults(self)
    for name, value in settings.items():
        if name not in known:
            kind = type(self).__name__
            raise SettingsError(f"{kind} has no setting {name!r}{suggestion(name, known)}")
        setattr(self, name, value)
    return self


def describe(self: object) -> str:
    """Return the call that creates the estimator, with all settings that are not defaults."""
    given = [
        f"{name}={value!r}"
        for name, default in _defaults(self).items()
        if repr(value := getattr(self, name)) != repr(default)  # arrays cannot be compared with !=
    ]
    return f"{type(self).__name__}({', '.join(given)})"


def check_is_fitted(estimator: object, attribute: str) -> None:
    """Reject an estimator that is not fitted.

    Args:
        estimator: The estimator.
        attribute: An attribute that `fit` sets.

    Raises:
        sklearn.exceptions.NotFittedError: The attribute is missing.
    """
    if not hasattr(estimator, attribute):
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(f"this {type(estimator).__name__} is not fitted yet; call fit first")


def text_tags(kind: str | None) -> Any:  # noqa: ANN401 - scikit-learn's Tags
    """Return scikit-learn's tags for an estimator whose input is a list of texts.

    Args:
        kind: `classifier`, `regressor`, or None for a kind that scikit-learn does not have.
    """
    from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

    return Tags(
        estimator_type=kind,
        target_tags=TargetTags(required=True),
        classifier_tags=ClassifierTags() if kind == "classifier" else None,
        regressor_tags=RegressorTags() if kind == "regressor" else None,
        input_tags=InputTags(string=True, two_d_array=False),
    )


def routing(self: object) -> Any:  # noqa: ANN401 - scikit-learn's MetadataRequest
    """Return the metadata that scikit-learn may route: `sample_weight`, to `score`."""
    from sklearn.utils.metadata_routing import MetadataRequest

    request = MetadataRequest(owner=self)
    request.score.add_request(param="sample_weight", alias=True)
    return request


def _defaults(estimator: object) -> dict[str, Any]:
    """Return the default value of each setting, by name."""
    parameters = inspect.signature(type(estimator)).parameters.values()
    return {each.name: each.default for each in parameters}
