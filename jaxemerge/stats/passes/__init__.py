"""How do pass rates of sampled answers grow with the number of parameters?"""
