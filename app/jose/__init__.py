"""JSON signatures: our tokens, our key set, the clients' key sets and the guarded way to fetch them."""
