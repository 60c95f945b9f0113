"""Compare methods on the same labels, test rows and seeds, and save the winner."""

import random
from pathlib import Path

import headstart as hs

WORDS = {
    "sport": "goal match team striker coach cup league final score player",
    "business": "profit shares bank market rates company trade price tax growth",
}


def write_news(path: Path, rows: int) -> None:
    """Write headlines of three words, one of which is specific to their topic."""
    draw = random.Random(0)
    lines = ["text,label"]
    for _ in range(rows):
        topic = draw.choice(list(WORDS))
        words = draw.sample(["the", "new", "last", "big"], 2) + draw.sample(WORDS[topic].split(), 1)
        lines.append(f"{' '.join(words)},{topic}")
    path.write_text("\n".join(lines) + "\n")


def write_vectors(path: Path, *, telling: bool) -> hs.Pretrained:
    """Write and load word vectors that encode the topics, or only the lengths of the words."""
    lines = [
        f"{word} {9 * (topic == 'sport') if telling else len(word)} {len(word)} 1"
        for topic, words in WORDS.items()
        for word in words.split()
    ]
    path.write_text("\n".join(lines) + "\n")
    return hs.load(path)


write_news(Path("news.csv"), 200)
goals = write_vectors(Path("goals.txt"), telling=True)
letters = write_vectors(Path("letters.txt"), telling=False)
ranking = hs.rank("news.csv", encoders={"goals": goals, "letters": letters}, labels=100)
print(ranking.order, ranking.sentence)
for row in ranking.table:
    print(row["encoder"], row["layer"], row["logme"], row["h_score"], row["probe"])
result = hs.compare(
    "news.csv",
    methods=["majority", "tfidf", "scratch", "goals=goals.txt:probe"],
    label_budgets=[8, 32],
    seeds=3,
    minutes=10,
    out="runs/news",
)
for row in result.table:
    print(row["method"], row["labels"], round(row["mean"], 3), row["low"], row["high"])
print("left out for lack of time:", result.results["left_out"])
print(result.headline)
print(result.best["method"], hs.load("runs/news/best").predict(["striker scores in the final"]))
result.save_report("report.html")
