"""Results in the form people and tools read.

Strategy: values in, text out; nothing here opens a file or asks what a terminal can do (`cli` does,
and hands in a `Style`). `result` has the values a scan reports; `forms` is the table of the forms
they are written in, one file a form, each a `writer`; `layout` and `style` are for every command.
All text of others passes `harmless` on its way out, even where the probe has done so before: a
record may have come from elsewhere.
"""
