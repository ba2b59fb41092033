"""The report over all variants: measured, as tables, plots and a page, beside the paper and other systems."""
