"""How many seeds does a study need, and what could a given number of seeds not have shown?"""
