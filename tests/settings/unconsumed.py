"""Settings that no code outside `settings/` obeys yet.

Whoever makes code obey one takes it out of the list, with a test that sets it and sees the effect.
"""

UNCONSUMED = {
    "parts.words.train",
    "parts.words.rate",
    "parts.words.start",
    "parts.words.stop",
    "parts.words.weight_decay",
    "parts.words.max_norm",
    "parts.words.template",
    "parts.words.template_file",
    "words.*.name",
    "words.*.vectors",
    "words.*.start_as",
    "words.*.start_from",
}
