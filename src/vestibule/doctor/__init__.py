"""`vestibule doctor`: tries the real thing, changes nothing, and says of each finding what to do.

Each module asks one part of the world for facts, and has functions that make findings of facts, which are pure.
"""
