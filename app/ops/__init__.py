"""Operations: what a machine that watches this server asks, on a listener of its own."""
