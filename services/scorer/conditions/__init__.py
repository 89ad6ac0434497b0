"""Conditions of rules and criteria: CEL expressions, checked before they are kept, and turned into functions.

expression   compiles one, and asks it of events and profiles
tree         what a compiled expression is made of
limits       what an expression may be made of: nothing that runs long, allocates without limit or differs by machine
"""
