"""Which encoder writes which format."""

from leadscore.query.v1 import export_pb2 as contract

from services.query.exports.sheets import Sheet
from services.query.exports.text import CsvEncoder, Encoder, NdjsonEncoder


def encoder_of(format_: int, sheet: Sheet) -> Encoder:
    """A new encoder for a format that tables have."""
    if format_ == contract.EXPORT_FORMAT_CSV:
        return CsvEncoder(sheet)
    if format_ == contract.EXPORT_FORMAT_NDJSON:
        return NdjsonEncoder(sheet)
    # Imported when it is needed: it is large, and a process that writes no Parquet is better without it.
    from services.query.exports.parquet import ParquetEncoder

    return ParquetEncoder(sheet)
