"""The embedded model: scene grammar, renderer, tokenizer, training, weights."""
