"""From the bytes of a file to events on the stream: what an upload and `leadscore load` have in common.

    bytes -> chunks (inflate, even blocks) -> rows (CSV, JSON, NDJSON) -> events (mapping, times, ids)
          -> delivery (batches on StreamEvents) and reporting (ReportImport), driven by `importing.run_import`

Nothing here holds more of a file than a block and a few batches.
"""
