"""Results in the form people and tools read.

Strategy: values in, text out; nothing here opens a file or asks what a terminal can do (`cli` does,
and hands in a `Style`). `result` has the values a scan reports, `text` their words, `records` their
JSON; `layout` and `style` are for every command. All text of others passes `harmless` on its way
out, even where the probe has done so before: a record may have come from elsewhere.
"""
