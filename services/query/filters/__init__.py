"""The filter language: a text in the style of AIP-160 becomes a tree, and the tree a condition of the database.

text -> tokens (lexing) -> tree (parsing, with the values read as the fields want them) -> condition
"""
