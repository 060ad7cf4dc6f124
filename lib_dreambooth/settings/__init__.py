"""What a run is asked to do: schema, presets, files, validation, other tools' configs."""
