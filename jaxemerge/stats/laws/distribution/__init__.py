"""One law of the whole distribution of scores over seeds, in scale and test length."""
