"""The pki room, module by module, then against corpora of hostile and odd certificates."""
