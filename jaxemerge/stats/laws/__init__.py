"""How does the loss fall with parameters, tokens and compute, and which split of compute is best?"""
