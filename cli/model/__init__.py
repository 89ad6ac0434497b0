"""`leadscore model`: the rules of the scores, as files and as versions in the suite.

tree        the text of a file, as values that know their lines
definition  these values as a definition, or every fault by field and line
files       reads a file
canonical   a definition as text: always the same for the same rules
versions    reads a version
faults      shows what is wrong

Each other module is the command of its name.
"""
