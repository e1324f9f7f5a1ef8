"""Every operator action, audited: plain functions, one file per noun. The command line is one face of it."""
