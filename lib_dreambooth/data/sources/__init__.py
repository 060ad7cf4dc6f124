"""Where pictures come from: folders as users keep them, metadata files, zips, dropped files."""
