"""Commands that compute: a study or one of its stages, a search, an audit, scores of new stays, a configuration."""
