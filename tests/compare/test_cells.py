import time

import torch

from headstart.compare import cells
from headstart.compare.cells import Model, Processes, Terms, fit_models
from headstart.compare.contestants import Contestant
from headstart.data.labelled import Dataset
from headstart.progress import SILENT

DATA = Dataset(["good", "bad"], ["pos", "neg"])


def terms(tmp_path):
    return Terms(
        train=DATA,
        test=DATA,
        data_print="data",
        encoders={"bert": tmp_path / "bert", "glove": tmp_path / "glove"},
        prints={},
        folder=tmp_path,
        widths={"bert": 8, "glove": None},
    )


def test_a_whole_model_that_is_kept_is_fitted_by_itself_on_all_cores(tmp_path, monkeypatch):
    rounds = []

    def do(self, work, *, at_once):
        rounds.append(([(each.save_to.name, each.threads) for each in work], at_once))
        return ((each, cells.Spent(0.0, 0.0)) for each in work)

    monkeypatch.setattr(Processes, "do", do)
    named = ("scratch", "bert:finetune", "glove:finetune")
    models = [Model(tmp_path / name.partition(":")[0], Contestant.parse(name), 2) for name in named]
    fit_models(Processes(terms(tmp_path), 4), models, progress=SILENT)
    assert rounds == [([("bert", 4)], 1), ([("scratch", 1), ("glove", 1)], 4)]
    rounds.clear()
    fit_models(Processes(terms(tmp_path), 4), models[:1], progress=SILENT)
    assert rounds == [([("scratch", 1)], 4)]


def test_a_model_whose_time_is_up_is_not_kept(tmp_path, monkeypatch):
    class Estimator:
        def fit(self, texts, labels, *, progress):
            with progress.stage("fitting") as advance:
                advance(1)
            return self

        def save(self, folder, *, overwrite):
            folder.mkdir()

    def do(self, work, *, at_once):
        return ((each, cells._do(each)) for each in work)

    monkeypatch.setattr(cells, "_WORKER", {"terms": terms(tmp_path)})
    monkeypatch.setattr(cells, "_estimator", lambda *given: Estimator())
    monkeypatch.setattr(Processes, "do", do)
    scratch = Contestant.parse("scratch")
    late = Model(tmp_path / "late", scratch, 2, deadline=time.time() - 1)
    models = [Model(tmp_path / "best", scratch, 2), late]
    before = torch.get_num_threads()
    try:
        assert fit_models(Processes(terms(tmp_path), 1), models, progress=SILENT) == models[:1]
    finally:
        torch.set_num_threads(before)
    assert not late.folder.exists()


def test_what_is_kept_has_the_threads_it_is_given(tmp_path, monkeypatch):
    seen = []

    class Estimator:
        def fit(self, texts, labels, *, progress):
            seen.append(torch.get_num_threads())
            return self

        def save(self, folder, *, overwrite):
            assert overwrite

    monkeypatch.setattr(cells, "_WORKER", {"terms": terms(tmp_path)})
    monkeypatch.setattr(cells, "_estimator", lambda *given: Estimator())
    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            job = cells.Job(Contestant.parse("scratch"), 2, 0)
            cells._do(cells._Work(job, save_to=tmp_path / "best", threads=threads))
    finally:
        torch.set_num_threads(before)
    assert seen == [2, 1]
