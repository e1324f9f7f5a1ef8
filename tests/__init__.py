"""The tests; README.md says what each folder promises."""
