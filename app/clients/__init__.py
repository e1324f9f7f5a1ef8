"""Who asks: registered clients, and the one way each may prove itself."""
