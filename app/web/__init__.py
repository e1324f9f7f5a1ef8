"""Reading requests strictly and writing answers in one spelling."""
