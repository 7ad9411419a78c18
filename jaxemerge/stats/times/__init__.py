"""When do runs break through, and how does the rate depend on scale?"""
