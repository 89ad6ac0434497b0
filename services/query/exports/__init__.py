"""Everything as files: read in slices of one snapshot, encoded piece by piece, handed on as fast as they are taken.

sheets: which columns -> slices: rows by their key -> text, parquet: bytes -> handover: pieces, few ahead -> the call
"""
