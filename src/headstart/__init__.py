"""headstart: transfer learning for text, with fair comparisons.

This module holds the public names. Each is imported on first use, so `import headstart` is fast.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headstart.cli.bars import Bars as Bars
    from headstart.compare.comparison import Comparison as Comparison
    from headstart.compare.ranking import Ranking as Ranking
    from headstart.compare.ranking import rank as rank
    from headstart.compare.study import compare as compare
    from headstart.hub.bundle import Pretrained as Pretrained
    from headstart.hub.estimates import Estimate as Estimate
    from headstart.hub.planning import plan as plan
    from headstart.hub.store import adapt as adapt
    from headstart.hub.store import pretrain as pretrain
    from headstart.transfer.estimators import TextClassifier as TextClassifier
    from headstart.transfer.features import quick_reading as quick_reading
    from headstart.transfer.loading import load as load
    from headstart.transfer.methods import Features as Features
    from headstart.transfer.methods import FineTune as FineTune
    from headstart.transfer.methods import GradualUnfreeze as GradualUnfreeze
    from headstart.transfer.methods import Layers as Layers
    from headstart.transfer.methods import LowRank as LowRank
    from headstart.transfer.methods import Majority as Majority
    from headstart.transfer.methods import Probe as Probe
    from headstart.transfer.methods import Scratch as Scratch
    from headstart.transfer.methods import TfIdf as TfIdf
    from headstart.transfer.pairs import PairClassifier as PairClassifier
    from headstart.transfer.pairs import PairRegressor as PairRegressor
    from headstart.transfer.regressor import TextRegressor as TextRegressor
    from headstart.transfer.text_features import TextFeatures as TextFeatures
    from headstart.transfer.token_tagger import TokenTagger as TokenTagger

__version__ = "0.1.0"

_HOMES = {
    "Bars": "headstart.cli.bars",
    "Comparison": "headstart.compare.comparison",
    "Estimate": "headstart.hub.estimates",
    "Features": "headstart.transfer.methods",
    "FineTune": "headstart.transfer.methods",
    "GradualUnfreeze": "headstart.transfer.methods",
    "Layers": "headstart.transfer.methods",
    "LowRank": "headstart.transfer.methods",
    "Majority": "headstart.transfer.methods",
    "PairClassifier": "headstart.transfer.pairs",
    "PairRegressor": "headstart.transfer.pairs",
    "Pretrained": "headstart.hub.bundle",
    "Probe": "headstart.transfer.methods",
    "Ranking": "headstart.compare.ranking",
    "Scratch": "headstart.transfer.methods",
    "TextClassifier": "headstart.transfer.estimators",
    "TextFeatures": "headstart.transfer.text_features",
    "TextRegressor": "headstart.transfer.regressor",
    "TfIdf": "headstart.transfer.methods",
    "TokenTagger": "headstart.transfer.token_tagger",
    "adapt": "headstart.hub.store",
    "compare": "headstart.compare.study",
    "load": "headstart.transfer.loading",
    "plan": "headstart.hub.planning",
    "pretrain": "headstart.hub.store",
    "quick_reading": "headstart.transfer.features",
    "rank": "headstart.compare.ranking",
}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)


class _Package(ModuleType):
    """Makes `headstart.compare` and `headstart.pretrain` the functions, not the subpackages."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
