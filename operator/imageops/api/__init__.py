"""Hold what users write and read: the kinds, their fields, references, reasons and the text that explains them.

This layer imports nothing else of the package and does no input or output besides the generators
(`crdgen`, `docgen`), which run at build time only.
"""
