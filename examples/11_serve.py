"""Predict a file of any size with a fitted model, and evaluate the model."""

from pathlib import Path

import headstart as hs
from headstart.data.labelled import read_labelled
from headstart.serve.evaluation import evaluate
from headstart.serve.predictor import predict_file

texts = ["a late goal", "the match was won", "profit rose", "the shares fell"] * 10
labels = ["sport", "sport", "business", "business"] * 10
classifier = hs.TextClassifier(transfer="tfidf").fit(texts, labels)

Path("new.txt").write_text("another goal\nthe shares rose\n")
print(predict_file(classifier, Path("new.txt"), Path("predicted.csv")), "predictions")
print(Path("predicted.csv").read_text())

Path("test.csv").write_text("text,label\nan early goal,sport\nno profit,business\n")
found = evaluate(classifier, read_labelled("test.csv"))
print(found.accuracy, found.macro_f1)
