"""The estimators behind every comparison and flag: pure functions from sufficient statistics
(counts, sums, sums of squares per stratum) to values with limits. SQL does the adding up on any
engine; nothing here reads a table, a file or a clock.
"""
