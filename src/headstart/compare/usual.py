"""The default methods of a comparison, and those of the demos."""

from collections.abc import Sequence

from headstart.compare.contestants import IN_CONTEXT, Contestant, parse_all
from headstart.compare.tasks import ComparedTask
from headstart.data.demo import Demo
from headstart.errors import SettingsError

METHODS: tuple[str, ...] = (
    "majority",
    "tfidf",
    "scratch",
    "word2vec:probe",
    "word2vec:frozen",
    "word2vec:finetune",
)
DEMOS = {
    "classification": "BBC News",
    "pair": "pairs of BBC News passages",
    "tagging": "the names in tweets",
}
_OF_THE_DEMO = (
    *("glove={glove}:probe", "glove={glove}:frozen", "glove={glove}:finetune"),
    *("cove:frozen", "elmo:frozen", "elmo:finetune"),
    *("gpt:finetune", "bert:probe", "bert:frozen", "bert:finetune", "bert:scratch"),
    *("minilm={minilm}:probe", "minilm={minilm}:frozen", "minilm={minilm}:finetune"),
)


def usual_methods(task: ComparedTask) -> tuple[str, ...]:
    """Return the default methods of the task, which take seconds."""
    return tuple(method for method in METHODS if method not in task.unfit)


def demo_methods(
    task: ComparedTask, demo: Demo, *, translations: bool, quick: bool
) -> tuple[str, ...]:
    """Return the methods of a task's demo.

    The quick demo leaves out CoVe and ELMo: they learn nothing in seconds of pretraining, and their
    cells would only take time from the others.
    """
    published = {"glove": demo.glove, "minilm": demo.minilm}
    dropped: tuple[str, ...] = () if translations else ("cove",)
    if quick:
        dropped = IN_CONTEXT
    chosen = [one for one in _OF_THE_DEMO if not one.startswith(dropped)]
    return (*usual_methods(task), *(method.format(**published) for method in chosen))


def parse_for(task: ComparedTask, methods: Sequence[str]) -> list[Contestant]:
    """Parse the methods of a comparison.

    Raises:
        SettingsError: One is invalid, or cannot be used for the task.
    """
    contestants = parse_all(methods)
    for one in contestants:
        if one.transfer in task.unfit:
            raise SettingsError(
                f"the method {one.name!r} {task.unfit[one.transfer]}; leave it out to compare "
                f"with task={task.name!r}"
            )
    return contestants
