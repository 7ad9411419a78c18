"""How do P(success), the mean of the successes and single curves move with scale?"""
