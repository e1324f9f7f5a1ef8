"""What we give: the decision to issue, and the one way from it to a token."""
