"""Keys, certificates, kits: who somebody is."""
