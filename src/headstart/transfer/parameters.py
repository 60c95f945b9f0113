"""What scikit-learn asks of every estimator, without its base classes.

They import all of scipy's statistics, which takes longer than all else that a saved model needs to
predict, but for torch. An estimator has these functions among its methods; scikit-learn recognizes
it by duck typing, as its guide for developers allows.
"""

import inspect
from typing import Any, TypeVar

from headstart.errors import SettingsError
from headstart.settings import suggestion

_Self = TypeVar("_Self")


def get_params(self: object, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - theirs
    """Return the settings by their names; none is an estimator, so that `deep` adds nothing."""
    del deep
    return {name: getattr(self, name) for name in _defaults(self)}


def set_params(self: _Self, **settings: Any) -> _Self:  # noqa: ANN401 - any setting
    """Change settings, by their names, and return the estimator.

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
    """Return the call that makes the estimator, with the settings that are no defaults."""
    given = [
        f"{name}={value!r}"
        for name, default in _defaults(self).items()
        if repr(value := getattr(self, name)) != repr(default)  # an array equals nothing
    ]
    return f"{type(self).__name__}({', '.join(given)})"


def check_is_fitted(estimator: object, attribute: str) -> None:
    """Refuse an estimator that lacks what `fit` gives it.

    Raises:
        sklearn.exceptions.NotFittedError: It lacks that.
    """
    if not hasattr(estimator, attribute):
        from sklearn.exceptions import NotFittedError

        raise NotFittedError(f"this {type(estimator).__name__} is not fitted yet: call fit first")


def text_tags(kind: str | None) -> Any:  # noqa: ANN401 - scikit-learn's Tags
    """Return scikit-learn's tags of an estimator whose input is a list of texts.

    Args:
        kind: `classifier`, `regressor`, or None for what scikit-learn has no name for.
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
    """Return what scikit-learn may pass on where routing is enabled: to `score`, texts' weights."""
    from sklearn.utils.metadata_routing import MetadataRequest

    request = MetadataRequest(owner=self)
    request.score.add_request(param="sample_weight", alias=True)
    return request


def _defaults(estimator: object) -> dict[str, Any]:
    """Return the settings' default values, by their names."""
    parameters = inspect.signature(type(estimator)).parameters.values()
    return {each.name: each.default for each in parameters}
