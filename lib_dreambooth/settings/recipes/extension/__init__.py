"""db_config.json of sd_dreambooth_extension, from its first form of 2022 to its last of 2025."""
