"""What shows mailseal at work: services of the kind it finds and fixes.

Strategy: nothing here is imported by the product; each server is one self-contained file.
"""
