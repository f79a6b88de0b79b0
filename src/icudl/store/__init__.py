"""Content-addressed artifacts and their manifests."""
