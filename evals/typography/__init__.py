"""Typography: what a picture reads, measured against the words that were asked for."""
