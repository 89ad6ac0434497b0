"""What a score is. Pure: functions of values, standard library only, no clock, no I/O.

model        the rules, as data
lead         what is kept of a lead, and the facts about it
evaluation   the formula: from a lead's counts and profile to its score, line by line
fold         one fact after the other into a lead, and what each changed
"""
