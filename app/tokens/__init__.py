"""What we give: the one way from a decision to a token, and what is said of it afterwards."""
