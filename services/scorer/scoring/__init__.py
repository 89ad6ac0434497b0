"""What a score is. Pure: functions of values, standard library only, no clock, no I/O.

model        the rules, as data
validation   what is wrong with a model, before anybody's score depends on it
compiled     a model ready to be applied, with its conditions as functions
weights      what an event counts for at an age
tally        how many events of a lead a rule has seen, and what of them counts on a day
lead         what is kept of a lead, and the facts about it
absorb       one fact into a lead's counts, profile and registers, in any order
evaluation   the formula: from counts, profile and the time to a score, line by line
thresholds   what is crossed, once, with hysteresis
fold         facts, days and new models into a lead, and what each changed
replay       a lead from nothing, by its whole history
forecast     what becomes of a lead if nothing happens
"""
