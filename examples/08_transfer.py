"""Carry an encoder over to a task, with proof of the transfer, through scikit-learn estimators."""

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV

import headstart as hs
from headstart.tokenize.batches import pad

texts = [f"{word} number {n}" for n in range(8) for word in ("goal", "match", "profit", "shares")]
labels = ["sport", "sport", "business", "business"] * 8
articles = [f"{text}: {label} news" for text, label in zip(texts, labels, strict=True)] * 20
sample = {"sample": 1.0}  # keep every word: all are frequent, and frequent words are dropped
encoder = hs.pretrain("word2vec", articles, size="tiny", epochs=20, threads=1, options=sample)

classifier = hs.TextClassifier(encoder, transfer="frozen", random_state=0).fit(texts, labels)
print(classifier.predict(["a late goal", "the shares fell"]))
print(classifier.predict_proba(["a late goal"]), classifier.classes_)
print(classifier.proof_)

classifier.save("runs/topics")
print(hs.load("runs/topics").predict(["the match"]))

features = hs.TextFeatures(encoder).transform(texts)
print(features.shape)

methods = [hs.TfIdf(), hs.Probe(), hs.Probe(pooling="max")]  # methods are values: search over them
search = GridSearchCV(hs.TextClassifier(encoder), {"transfer": methods}, cv=2).fit(texts, labels)
print(search.best_params_)

topics = [["sport"], ["sport", "win"], ["business", "win"], ["business"]] * 8
several = hs.TextClassifier(transfer="tfidf").fit(texts, topics)
print(several.predict(["a match"]).tolist(), several.thresholds_)

stars = hs.TextRegressor(encoder, transfer="probe").fit(texts, [3.0, 5.0, 2.5, 1.0] * 8)
print(stars.predict(["a late goal"]), stars.fit_report_["validation_pearson"])

honest = hs.TextClassifier(transfer="scratch", calibrate=True).fit(texts, labels)
print(honest.temperature_, honest.fit_report_["validation_calibration_error_before"])

pairs = [(text, f"{word} news") for text in texts for word in ("sport", "business")]
agree = [label == word for label in labels for word in ("sport", "business")]
judge = hs.PairClassifier(encoder, transfer="frozen").fit(pairs, agree)
print(judge.predict([("a late goal", "sport news")]), judge.score(pairs, agree))

alike = [5.0 if label == word else 0.5 for label in labels for word in ("sport", "business")]
similarity = hs.PairRegressor(encoder, transfer="probe", symmetric=True).fit(pairs, alike)
print(similarity.predict([("a late goal", "sport news")]), similarity.score(pairs, alike))

elmo = hs.pretrain("elmo", texts * 20, size="tiny", steps=5, threads=1)
weighed = hs.TextClassifier(elmo, transfer=hs.Features(layers=hs.Layers(output=True)))
weighed.fit(texts, labels)
print(weighed.fit_report_["layer_weights"])  # the token layer, the first LSTM, the second

bert = hs.pretrain(
    "bert",
    texts * 20,
    size="tiny",
    steps=20,
    threads=1,
    options={"nsp": False, "vocabulary_size": 300, "rows_per_step": 4},
)
tuned = hs.TextClassifier(bert, transfer="finetune").fit(texts, labels)
print(tuned.predict(["a late goal"]), tuned.fit_report_["steps"], tuned.proof_.tensors_taken)
cheap = hs.TextClassifier(bert, transfer=hs.LowRank(rank=4)).fit(texts, labels)
bert.save("runs/bert")
own = hs.load("runs/bert")  # your own loop: ids, states, a loss, and the folder again
encoded, _ = own.inputs(texts, max_tokens=32)
ids_BT, mask_BT = map(torch.from_numpy, pad(encoded, np.arange(8)))
optimizer = torch.optim.AdamW(own.model.parameters(), lr=1e-4)
for _ in range(3):
    states_BTD = own.model.encode(ids_BT, mask_BT)[-1]  # the last layer; [CLS] comes first
    loss = states_BTD[:, 0].square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
own.save("runs/own")
tuned.save("runs/tuned")  # transformers can load this folder, too

sentences = [["Mary", "met", "Ann", "Lee"], ["Ann", "left"], ["so", "Mary", "left"]] * 6
tags = [["B-PER", "O", "B-PER", "I-PER"], ["B-PER", "O"], ["O", "B-PER", "O"]] * 6
tagger = hs.TokenTagger(bert, transfer="probe", scheme="BIO").fit(sentences, tags)
print(tagger.predict([["Lee", "met", "Mary"]]), tagger.score(sentences, tags))
named = hs.TokenTagger(transfer="scratch").fit(sentences, tags)  # embedding, BiLSTM, CRF
named.save("runs/names")
print(hs.load("runs/names").evaluate(sentences, tags).types)
