"""The small world that the demo's models know: figures on grounds, and all that is made of them.

Everything is a pure function of a `Scene`, a number and nothing else, so training, judging and
tests agree on what is true.
"""
