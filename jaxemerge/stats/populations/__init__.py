"""What do the scores of one population look like, and how do two populations differ?"""
