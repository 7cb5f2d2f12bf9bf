"""Many calls: reading the rows that they come from, and what became of each."""

from frame_async.bulk.csv_rows import read_csv
from frame_async.bulk.json_rows import read_jsonl, read_parquet
from frame_async.bulk.layouts import Layout
from frame_async.bulk.rows import Row
from frame_async.bulk.summaries import BulkSummary, summarize
from frame_async.bulk.xlsx_rows import read_xlsx
from frame_async.engine.pool import BulkItem, BulkResult, BulkResults

__all__ = [
    "BulkItem",
    "BulkResult",
    "BulkResults",
    "BulkSummary",
    "Layout",
    "Row",
    "read_csv",
    "read_jsonl",
    "read_parquet",
    "read_xlsx",
    "summarize",
]
