"""Settings models, and a ready TOML file for each common set-up."""
