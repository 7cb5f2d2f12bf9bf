"""Many calls: reading the rows that they come from."""

from frame_async.bulk.csv_rows import Row, read_csv

__all__ = ["Row", "read_csv"]
