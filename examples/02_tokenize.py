"""Train a vocabulary, and convert texts to ids."""

from headstart.tokenize.words import WordTokenizer

texts = ["It's a quiet film.", "A loud film!", "It isn't quiet at all."]
tokenizer = WordTokenizer.train(texts, min_count=1, lowercase=True)
print(tokenizer.vocabulary)
print(tokenizer.words("It isn't LOUD."))

encoded = tokenizer.encode_batch(["A quiet film", "Unheard-of"])
print(encoded.ids, encoded.offsets)  # text i is ids[offsets[i]:offsets[i + 1]]
