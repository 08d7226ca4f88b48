"""One lossless parser per configuration format.

Bytes go in; out comes a document whose items tile the file without a gap, so nothing that was not
understood can be lost, and every value says where it stands. Edits are splices: what they do not
name stays byte for byte. `text` holds what the formats share; nothing here opens a file.
"""
